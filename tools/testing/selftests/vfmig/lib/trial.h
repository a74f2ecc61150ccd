/* SPDX-License-Identifier: GPL-2.0-only */
/* A part of the device: which of two ways brings more */
#ifndef VFMIG_TEST_TRIAL_H
#define VFMIG_TEST_TRIAL_H

#include "util.h"

#include "../../../../../drivers/vfmig/model/trial.h"

#endif /* VFMIG_TEST_TRIAL_H */
