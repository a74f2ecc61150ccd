/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The lock of a device, which its worker gives up soon to any other thread.
 *
 * The worker holds it over each piece of its work.  A transition or a reset must not wait
 * until the guest has nothing more to do, so it says that it wants the lock.
 */
#ifndef _VFMIG_MODEL_LOCK_H
#define _VFMIG_MODEL_LOCK_H

#include <linux/atomic.h>
#include <linux/mutex.h>

/**
 * struct vfmig_lock - a mutex, and who waits for it
 * @mutex: the mutex.  The worker takes it as such, other threads by vfmig_lock().
 * @wanted: number of threads in vfmig_lock()
 */
struct vfmig_lock {
	struct mutex mutex;	/* what the device says that it protects */
	atomic_t wanted;
};

/* A macro, so that each model's lock is of a class of its own for lockdep */
#define vfmig_lock_init(lock)				\
	do {						\
		struct vfmig_lock *_lock = (lock);	\
							\
		mutex_init(&_lock->mutex);		\
		atomic_set(&_lock->wanted, 0);		\
	} while (0)

static inline void vfmig_lock_destroy(struct vfmig_lock *lock)
{
	mutex_destroy(&lock->mutex);
}

/** vfmig_lock() - take the lock; the worker is asked to give it up */
static inline void vfmig_lock(struct vfmig_lock *lock)
{
	atomic_inc(&lock->wanted);
	mutex_lock(&lock->mutex);
	atomic_dec(&lock->wanted);
}

static inline void vfmig_unlock(struct vfmig_lock *lock)
{
	mutex_unlock(&lock->mutex);
}

/** vfmig_lock_is_wanted() - must the worker, which has the lock, give it up soon? */
static inline bool vfmig_lock_is_wanted(const struct vfmig_lock *lock)
{
	return atomic_read(&lock->wanted);
}

/**
 * vfmig_lock_give_way() - let other threads have the lock
 * @lock: the lock
 *
 * The worker calls it before it takes the lock again.  It unlocks between two pieces of work, but
 * only for a moment.  A thread that spins for a mutex may not see that moment, and is in no list
 * whose first one would get the mutex next.  Waits for such threads, but no longer than about
 * 5 ms: one of them may have no CPU.  May sleep.
 */
void vfmig_lock_give_way(const struct vfmig_lock *lock);

#endif /* _VFMIG_MODEL_LOCK_H */
