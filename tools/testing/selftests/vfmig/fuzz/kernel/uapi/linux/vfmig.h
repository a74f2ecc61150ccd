/* SPDX-License-Identifier: GPL-2.0-only */
/* Only this one header of include/uapi/linux/ */
#include "../../../../../../../../include/uapi/linux/vfmig.h"
