/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Making a stream right again that was changed, as far as it is asked for.
 */
#ifndef VFMIG_FUZZ_REPAIR_H
#define VFMIG_FUZZ_REPAIR_H

#include "input.h"

/* What is made right */
#define REPAIR_LENGTH	(1U << 0)	/* lengths of records, of extents and of model data */
#define REPAIR_END	(1U << 1)	/* what the closing record counts */
#define REPAIR_PAYLOAD	(1U << 2)	/* CRCs of payloads and extents */
#define REPAIR_HEADER	(1U << 3)	/* CRCs of headers */
#define REPAIR_ALL	((1U << 4) - 1)

void repair(struct input *input, unsigned int what);

#endif /* VFMIG_FUZZ_REPAIR_H */
