/* SPDX-License-Identifier: GPL-2.0-only */
/* What sources of the device need of the kernel's header of this name */
#ifndef VFMIG_TEST_TIME64_H
#define VFMIG_TEST_TIME64_H

#define NSEC_PER_USEC	1000L
#define NSEC_PER_MSEC	1000000L

#endif /* VFMIG_TEST_TIME64_H */
