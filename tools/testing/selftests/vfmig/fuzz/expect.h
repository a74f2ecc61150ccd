/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What must become of a stream.
 */
#ifndef VFMIG_FUZZ_EXPECT_H
#define VFMIG_FUZZ_EXPECT_H

#include "device.h"

enum verdict {
	VERDICT_OPEN,		/* more may come */
	VERDICT_REFUSED,
	VERDICT_DONE,		/* it was applied */
};

/**
 * struct outcome - what became of a stream
 * @verdict: &enum verdict
 * @bytes: bytes of it in complete records
 * @records: number of these
 */
struct outcome {
	enum verdict verdict;
	u64 bytes;
	u64 records;
};

struct outcome expect(const u8 *stream, size_t size, struct device *dev);

#endif /* VFMIG_FUZZ_EXPECT_H */
