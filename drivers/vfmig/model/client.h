/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The client of a device: the user that has the VF open, which is the variant driver.
 *
 * A model embeds a &struct vfmig_client.  Its open() and close() hold the client's lock, and its
 * reset() ends with vfmig_client_reset().
 *
 * The client's reset() calls operations that take the model's own lock, so the model does not hold
 * its own lock then.  The client's lock is another one, and is outside of the model's.
 */
#ifndef _VFMIG_MODEL_CLIENT_H
#define _VFMIG_MODEL_CLIENT_H

#include <linux/cleanup.h>
#include <linux/lockdep.h>
#include <linux/mutex.h>
#include <linux/types.h>
#include <linux/vfmig.h>

/**
 * struct vfmig_client - the user that has a VF open
 * @lock: protects @ops and @data; also held while the client's reset() runs
 * @ops: callbacks of the client, or NULL if the VF is not open
 * @data: argument of @ops
 *
 * A model whose worker reads @ops and @data changes them with its own lock held too.  Then either
 * lock is enough to read them.
 */
struct vfmig_client {
	struct mutex lock;		/* ops, data */
	const struct vfmig_vf_client *ops;
	void *data;
};

/* A macro, so that each model's lock is of a class of its own for lockdep */
#define vfmig_client_init(client)	mutex_init(&(client)->lock)

static inline void vfmig_client_destroy(struct vfmig_client *client)
{
	mutex_destroy(&client->lock);
}

/** vfmig_client_is_set() - is the VF open?  With @client's lock held, or the model's. */
static inline bool vfmig_client_is_set(const struct vfmig_client *client)
{
	return client->ops;
}

/**
 * vfmig_client_set() - the VF is open from now on
 * @client: the client; not set, see vfmig_client_is_set().  The caller holds its lock.
 * @ops: argument of &vfmig_vf_ops.open
 * @data: argument of &vfmig_vf_ops.open
 */
static inline void vfmig_client_set(struct vfmig_client *client,
				    const struct vfmig_vf_client *ops, void *data)
{
	lockdep_assert_held(&client->lock);
	client->ops = ops;
	client->data = data;
}

/** vfmig_client_clear() - the VF is closed; the caller holds @client's lock */
static inline void vfmig_client_clear(struct vfmig_client *client)
{
	lockdep_assert_held(&client->lock);
	client->ops = NULL;
}

/** vfmig_client_reset() - tell the client, if any, of a reset; the model holds no lock */
static inline void vfmig_client_reset(struct vfmig_client *client)
{
	guard(mutex)(&client->lock);
	if (client->ops)
		client->ops->reset(client->data);
}

/**
 * vfmig_client_data_ready() - tell the client, if any, that its data is ready
 * @client: the client.  The caller holds its lock or the model's.
 */
static inline void vfmig_client_data_ready(const struct vfmig_client *client)
{
	if (client->ops)
		client->ops->data_ready(client->data);
}

#endif /* _VFMIG_MODEL_CLIENT_H */
