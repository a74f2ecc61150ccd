/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How long a VF takes to stop while its guest erases the medium, for vfmig_bench.
 *
 * The device stops within 10 ms of the time that it takes when it is idle, however much
 * there is to erase: so the idle time and 10 ms are what each figure compares with.
 */
#ifndef VFMIG_TEST_STOP_H
#define VFMIG_TEST_STOP_H

/* Needs a PF whose VFs nobody uses */
void bench_stop(void);

#endif /* VFMIG_TEST_STOP_H */
