/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The virtio device behind a VF: what all types of virtio devices have in common.
 * Comments refer to sections of VIRTIO 1.2 as "VIRTIO 2.1".
 *
 * A device has a worker (../model/worker.h).  It handles register changes and
 * notifications, and moves buffers.  Access to the device needs &vfmig_virtio.lock, for the
 * worker too.  A register access of a vCPU takes only the lock of the latch, which holds
 * the written values for the worker.
 *
 * Locks, outermost first:
 *
 *	client.lock	see model/client.h
 *	load_lock	serialises a load with its end
 *	lock		the device
 *	latch.lock	the registers as the guest sees them
 */
#ifndef _VFMIG_VIRTIO_H
#define _VFMIG_VIRTIO_H

#include <linux/atomic.h>
#include <linux/bitmap.h>
#include <linux/cleanup.h>
#include <linux/irq_work.h>
#include <linux/mutex.h>
#include <linux/ratelimit_types.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/vfmig.h>
#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>

#include "../model/blob.h"
#include "../model/client.h"
#include "../model/lock.h"
#include "../model/running.h"
#include "../model/worker.h"
#include "../sim.h"
#include "format.h"
#include "ring.h"

#define VFMIG_VIRTIO_VENDOR		0x1af4
#define VFMIG_VIRTIO_CONFIG_MAX		64U	/* bytes of device-specific configuration */

/* Features of the transport and of the rings, which each type has */
#define VFMIG_VIRTIO_FEATURES							\
	(BIT_ULL(VIRTIO_RING_F_INDIRECT_DESC) | BIT_ULL(VIRTIO_RING_F_EVENT_IDX) |	\
	 BIT_ULL(VIRTIO_F_VERSION_1) | BIT_ULL(VIRTIO_F_ACCESS_PLATFORM) |		\
	 BIT_ULL(VIRTIO_F_RING_PACKED) | BIT_ULL(VIRTIO_F_ORDER_PLATFORM) |		\
	 BIT_ULL(VIRTIO_F_RING_RESET))

/**
 * struct vfmig_vq_regs - registers of a queue
 * @desc: queue_desc
 * @driver: queue_driver
 * @device: queue_device
 * @size: queue_size
 * @vector: queue_msix_vector
 * @state: VFMIG_VQ_ENABLED, VFMIG_VQ_RESETTING
 */
struct vfmig_vq_regs {
	u64 desc;
	u64 driver;
	u64 device;
	u16 size;
	u16 vector;
	u8 state;
};

/**
 * struct vfmig_virtio_latch - the registers as the guest sees them
 * @lock: protects all members; held for short sections only, in any context
 * @frozen: writes are dropped, and a read changes nothing
 * @changed: a register was written that the worker has not looked at
 * @resetting: 0 was written to device_status, and the worker is not through with it.  The
 *	common configuration is as after the reset already.
 * @resets: how often 0 was written to device_status.  Not part of the migration state.
 * @device_feature_select: device_feature_select
 * @driver_feature_select: driver_feature_select
 * @driver_features: driver_feature
 * @config_vector: config_msix_vector
 * @queue_select: queue_select
 * @status: device_status
 * @isr: ISR status
 * @generation: config_generation
 * @nr_vqs: num_queues
 * @vq: registers of the queues
 * @notified: queues with a notification that the worker has not seen
 * @config: device-specific configuration
 */
struct vfmig_virtio_latch {
	raw_spinlock_t lock;	/* all below */
	bool frozen;
	bool changed;
	bool resetting;
	unsigned int resets;
	u32 device_feature_select;
	u32 driver_feature_select;
	u64 driver_features;
	u16 config_vector;
	u16 queue_select;
	u8 status;
	u8 isr;
	u8 generation;
	u16 nr_vqs;
	struct vfmig_vq_regs vq[VFMIG_VIRTIO_VQS];
	DECLARE_BITMAP(notified, VFMIG_VIRTIO_VQS);
	u8 config[VFMIG_VIRTIO_CONFIG_MAX];
};

/**
 * struct vfmig_virtio_type - a type of virtio devices
 * @features: features that it has besides VFMIG_VIRTIO_FEATURES
 * @config_size: bytes of its device-specific configuration
 * @features_ok: Are these features a set that the device can work with?  Called with the
 *	latch's lock held.
 * @reset: Return to the power-on state (VIRTIO 2.4).  With the device's lock held.
 * @process: Do a bounded piece of work.  Returns true if there is more to do at once.
 *	Called with the device's lock held while the device runs, also without DRIVER_OK and
 *	if it is broken: see vfmig_virtio_ready().
 * @wait: After @process, in the worker without the lock: wait for what @process must not wait
 *	for, memory.  Returns true if @process has more to do then.  May be NULL.
 * @opened: The device was opened; @reset follows.  With the device's lock held.
 * @stopped: The device does not run any more.  With the device's lock held.
 * @resumed: The device runs again; @loaded: for the first time after a load.  With the
 *	device's lock held, before queues are processed.
 * @lost: The identity may be another device's now: the device was closed, or reset from
 *	outside of the driver (@closed tells which).  With the device's lock held.
 * @kept: The device goes on, and keeps its identity.  With the device's lock held.
 * @given: The stream was read to the end.  With the device's lock held.
 * @identity: fill in &vfmig_vf_identity.model, model_version, data and data_length
 * @identity_check: see &vfmig_vf_ops.identity_check
 * @state_version: the version of the state, &vfmig_vf_identity.model_version
 * @state_oldest: the oldest version that it takes, which has as many bytes
 * @state_size: number of bytes that @state_save writes
 * @state_save: Write the state of this type.  With the device's lock held.
 * @state_refusal: Check the @state_size bytes at @buf, which are of version @version, and
 *	that they fit @state, which is valid.  Returns NULL or the reason why not as a constant
 *	string.  With the device's lock held.
 * @state_apply: Take a state that was checked.  With the device's lock held.
 */
struct vfmig_virtio_type {
	u64 features;
	unsigned int config_size;
	bool (*features_ok)(u64 features);
	void (*reset)(struct vfmig_virtio *dev);
	bool (*process)(struct vfmig_virtio *dev);
	bool (*wait)(struct vfmig_virtio *dev);
	void (*opened)(struct vfmig_virtio *dev);
	void (*stopped)(struct vfmig_virtio *dev);
	void (*resumed)(struct vfmig_virtio *dev, bool loaded);
	void (*lost)(struct vfmig_virtio *dev, bool closed);
	void (*kept)(struct vfmig_virtio *dev);
	void (*given)(struct vfmig_virtio *dev);
	void (*identity)(struct vfmig_virtio *dev, struct vfmig_vf_identity *id);
	const char *(*identity_check)(struct vfmig_virtio *dev,
				      const struct vfmig_vf_identity *id);
	u32 state_version;
	u32 state_oldest;
	size_t state_size;
	void (*state_save)(struct vfmig_virtio *dev, void *buf);
	const char *(*state_refusal)(struct vfmig_virtio *dev, u32 version,
				     const struct vfmig_virtio_state *state, const void *buf);
	void (*state_apply)(struct vfmig_virtio *dev, const void *buf);
};

/**
 * struct vfmig_virtio_counts - what a device has met, for debugfs
 * @resets: resets by the driver
 * @broken: how often the device needed a reset
 * @notifications: notifications by the driver, those that came together counted once
 */
struct vfmig_virtio_counts {
	u64 resets;
	u64 broken;
	u64 notifications;
};

/**
 * struct vfmig_virtio - a virtio device
 * @fn: its function
 * @type: its type
 * @features: features that it offers; constant
 * @latch: registers
 * @worker: does the work
 * @cap_kick: kicks the worker for a write through the PCI configuration access capability
 *
 * @client: the user that has the VF open; changes with @lock held too
 *
 * @load_lock: protects @load and @load_version
 * @load: the state that is being loaded
 * @load_version: the version that the stream says it is of
 *
 * @lock: protects all that follows.  The worker gives it up after a few frames.
 * @running: running state
 * @save: the state that is being saved
 * @loaded: a load was committed, and the device has not run since
 * @status: device_status as the worker last saw it
 * @broken: the driver has violated the specification; nothing happens until a reset
 * @stalled: DMA is off; the worker waits for a kick
 * @negotiated: the features that were negotiated, valid if @status has DRIVER_OK
 * @vq: queues
 * @notified: queues to look at
 * @raise: vectors to raise
 * @counts: statistics
 * @said: when the driver's violations were reported, so that the log has not too many
 * @regs: registers of the queues, for the worker
 * @chain: the buffer that the worker is at
 * @table: an indirect table that the worker is at
 */
struct vfmig_virtio {
	struct vfmig_fn *fn;
	const struct vfmig_virtio_type *type;
	u64 features;
	struct vfmig_virtio_latch latch;
	struct vfmig_worker worker;
	struct irq_work cap_kick;

	struct vfmig_client client;

	struct mutex load_lock;		/* load, load_version */
	struct vfmig_blob load;
	u32 load_version;

	struct vfmig_lock lock;		/* all below */
	struct vfmig_running running;
	struct vfmig_blob save;
	bool loaded;
	u8 status;
	bool broken;
	bool stalled;
	u64 negotiated;
	struct vfmig_vq vq[VFMIG_VIRTIO_VQS];
	DECLARE_BITMAP(notified, VFMIG_VIRTIO_VQS);
	DECLARE_BITMAP(raise, VFMIG_VIRTIO_VECTORS);
	struct vfmig_virtio_counts counts;
	struct ratelimit_state said;
	struct vfmig_vq_regs *regs;
	struct vfmig_vq_chain *chain;
	void *table;
};

/* device.c */
int vfmig_virtio_init(struct vfmig_virtio *dev, const struct vfmig_virtio_type *type,
		      struct vfmig_fn *fn);
void vfmig_virtio_destroy(struct vfmig_virtio *dev);
void vfmig_virtio_power_on(struct vfmig_virtio *dev);
void vfmig_virtio_take_registers(struct vfmig_virtio *dev);
void vfmig_virtio_enable_vq(struct vfmig_virtio *dev, unsigned int index,
			    const struct vfmig_vq_regs *regs, const struct vfmig_vq_pos *pos);
void vfmig_virtio_broken(struct vfmig_virtio *dev, const char *why);
void vfmig_virtio_set_config(struct vfmig_virtio *dev, const void *config);
void vfmig_virtio_config_irq(struct vfmig_virtio *dev);
void vfmig_virtio_vq_irq(struct vfmig_virtio *dev, const struct vfmig_vq *vq);
void vfmig_virtio_flush_irqs(struct vfmig_virtio *dev);

DEFINE_GUARD(vfmig_virtio, struct vfmig_virtio *, vfmig_lock(&_T->lock), vfmig_unlock(&_T->lock))

/* pci.c */
void vfmig_virtio_reset_vq(struct vfmig_vq_regs *vq);
void vfmig_virtio_latch_reset(struct vfmig_virtio *dev);
bool vfmig_virtio_reg_write(struct vfmig_virtio *dev, u64 offset, unsigned int len, u64 val);
u64 vfmig_virtio_bar_read(void *vf, unsigned int bar, u64 offset, unsigned int len);
void vfmig_virtio_bar_write(void *vf, unsigned int bar, u64 offset, unsigned int len, u64 val);

/* cap.c */
#define VFMIG_VIRTIO_CAPS	5
extern const struct vfmig_cap vfmig_virtio_caps[VFMIG_VIRTIO_CAPS];
void vfmig_virtio_cap_access(void *vf, unsigned int cap, u8 *body, bool write);
void vfmig_virtio_cap_save(struct vfmig_virtio *dev, struct vfmig_virtio_cap_state *state);
void vfmig_virtio_cap_load(struct vfmig_virtio *dev, const struct vfmig_virtio_cap_state *state);

/* vf.c */
extern const struct vfmig_vf_ops vfmig_virtio_vf_ops;
void vfmig_virtio_reset(void *vf);

static inline bool vfmig_virtio_has(const struct vfmig_virtio *dev, unsigned int feature)
{
	return dev->negotiated & BIT_ULL(feature);
}

/* Does the device move buffers?  With the lock held. */
static inline bool vfmig_virtio_ready(const struct vfmig_virtio *dev)
{
	return (dev->status & VIRTIO_CONFIG_S_DRIVER_OK) && !dev->broken;
}

/* Must the worker end its batch?  With the lock held. */
static inline bool vfmig_virtio_must_stop(const struct vfmig_virtio *dev)
{
	return dev->stalled || dev->broken;
}

#endif /* _VFMIG_VIRTIO_H */
