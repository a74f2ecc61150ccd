/* SPDX-License-Identifier: GPL-2.0-only */
/* Only this one header of include/linux/, which in a kernel tree has all others too */
#include "../../../../../../../include/linux/vfmig.h"
