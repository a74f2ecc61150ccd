// SPDX-License-Identifier: GPL-2.0-only
/* What must be true of an ioctl, whatever its argument was */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "compat.h"
#include "ioctl.h"

static const char * const places[] = {
	[PLACE_FREE] = "in memory", [PLACE_END] = "at the end of memory",
	[PLACE_CROSS] = "across the end of memory", [PLACE_READ_ONLY] = "in read-only memory",
	[PLACE_NOWHERE] = "nowhere",
};

static void __noreturn complain(struct fuzz_actor *a, const struct call *made,
				const struct shared_fd *s, long ret, int err, const char *why)
{
	const struct argument *arg = &a->arg;
	char hex[3 * 64 + 1] = "";

	for (unsigned int i = 0; i < arg->length && i < 64 && arg->offset + i < PAGE; i++)
		sprintf(hex + 3 * i, "%02x ", arg->image[arg->offset + i]);
	note("%s on a fd of kind %u, argument 0x%lx %s: returned %ld, errno %d", made->name,
	     s->kind, arg->value, places[arg->place], ret, err);
	note("argument: %s", hex);
	fail(__FILE__, __LINE__, "%s: %s", made->name, why);
}

/* The part of the argument that the kernel can read */
static unsigned int readable(const struct argument *arg)
{
	if (arg->place == PLACE_NOWHERE)
		return 0;
	return PAGE - arg->offset;
}

static u32 argsz_of(const struct argument *arg, const struct call *call)
{
	u32 argsz;

	if (call->arg != ARG_STRUCT)
		return 0;
	memcpy(&argsz, arg->image + arg->offset, sizeof(argsz));
	return argsz;
}

/* May this byte of the argument have changed? */
static bool is_written(const struct call *call, unsigned int at, u32 argsz)
{
	if (at >= argsz)
		return false;
	for (const struct written *w = call->written; w->size; w++)
		if (at >= w->offset && (w->size == TO_END || at < w->offset + w->size))
			return true;
	return false;
}

/* What is around the argument, or is only read, is as it was */
static const char *compare(const struct argument *arg, const struct call *call, long ret, int err)
{
	bool partly = ret < 0 && err == EFAULT && arg->place != PLACE_NOWHERE;
	bool may_write = call && (ret >= 0 || call->writes_early || partly);
	u32 argsz = 0;

	if (!memcmp(arg->room, arg->image, PAGE))
		return NULL;
	if (arg->place == PLACE_READ_ONLY || arg->place == PLACE_NOWHERE)
		return "memory was written to that can't be";
	if (call && readable(arg) >= call->minsz)
		argsz = argsz_of(arg, call);
	if (!may_write || argsz < call->minsz)
		return "the argument was written to";
	for (unsigned int i = 0; i < PAGE; i++) {
		if (arg->room[i] == arg->image[i])
			continue;
		if (i < arg->offset || !is_written(call, i - arg->offset, argsz))
			return "a byte changed that is not the kernel's to write";
	}
	return NULL;
}

/* Can the argument itself be the reason for EFAULT? */
static bool may_fault(const struct argument *arg, const struct call *call)
{
	if (call->arg == ARG_VALUE)
		return false;
	return arg->place >= PLACE_CROSS || arg->length < call->size ||
	       argsz_of(arg, call) > readable(arg);
}

static const char *judge_failure(const struct argument *arg, const struct call *call,
				 const struct shared_fd *s, int err)
{
	if (!call)
		return errno_of_unknown(s->kind, err) ? NULL : "errno of an unknown ioctl";
	if (errno_of_any(s->kind, err))
		return NULL;
	/* Of an older kernel, which does not have it */
	if (err == ENOTTY && call->request == VFIO_DEVICE_BIND_IOMMUFD)
		return NULL;
	if (err == EFAULT && may_fault(arg, call))
		return NULL;
	if (!errno_in(call->errnos, err))
		return "errno";
	return NULL;
}

static const char *judge_success(const struct argument *arg, const struct call *call, long ret)
{
	if (!call)
		return "success of an unknown ioctl";
	if (call->refused)
		return "success of what must be refused";
	if (ret > call->most)
		return "value";
	if (call->arg == ARG_VALUE)
		return NULL;
	if (arg->place == PLACE_NOWHERE || readable(arg) < call->minsz)
		return "success without an argument";
	if (call->arg == ARG_STRUCT && argsz_of(arg, call) < call->minsz)
		return "success with an argsz that is too small";
	if (call->written[0].size && arg->place == PLACE_READ_ONLY && !call->only_get_writes &&
	    call->request != VFIO_DEVICE_FEATURE)
		return "success without a result";
	return NULL;
}

static void take_fd(struct fuzz_actor *a, const struct shared_fd *s, int fd, enum kind kind)
{
	must(fcntl(fd, F_GETFD) >= 0);
	fds_add(a, fd, kind, s->vf);
}

/* The fd that comes with success, or the lack of one with a failure */
static const char *check_fd(struct fuzz_actor *a, const struct call *call,
			    const struct shared_fd *s, long ret)
{
	const u32 set = VFIO_DEVICE_FEATURE_SET;
	struct vfio_device_feature_mig_state state, before;
	struct vfio_device_feature feature;
	const struct argument *arg = &a->arg;

	if (call->arg == ARG_NAME && ret >= 0)
		take_fd(a, s, ret, KIND_DEVICE);
	if (call->request == IOMMU_FAULT_QUEUE_ALLOC && ret >= 0) {
		int fd;

		memcpy(&fd, arg->room + arg->offset + 12, sizeof(fd));
		must(!close(fd));
	}
	if (call->request != VFIO_DEVICE_FEATURE || readable(arg) < call->size ||
	    call->feature != VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE)
		return NULL;
	memcpy(&feature, arg->image + arg->offset, sizeof(feature));
	memcpy(&before, arg->image + arg->offset + sizeof(feature), sizeof(before));
	memcpy(&state, arg->room + arg->offset + sizeof(feature), sizeof(state));
	if (ret < 0 && state.data_fd != before.data_fd && state.data_fd != -1)
		return "a data fd comes with a failure";
	if (ret < 0 || (feature.flags & VFIO_DEVICE_FEATURE_PROBE))
		return NULL;
	if (!(feature.flags & set) && state.data_fd != -1)
		return "a data fd comes with GET";
	if (state.data_fd != -1)
		take_fd(a, s, state.data_fd,
			before.device_state == RESUMING ? KIND_LOAD : KIND_SAVE);
	return NULL;
}

void check_call(struct fuzz_actor *a, const struct call *made, const struct shared_fd *s, long ret,
		int err)
{
	const struct argument *arg = &a->arg;
	bool seen = readable(arg) >= sizeof(struct vfio_device_feature);
	const struct call *call = call_of(made->request, s->kind,
					  seen && made->arg != ARG_VALUE ? arg->image + arg->offset
									 : NULL);
	const char *why;

	why = compare(arg, call, ret, err);
	if (!why)
		why = ret < 0 ? judge_failure(arg, call, s, err) : judge_success(arg, call, ret);
	if (!why && call)
		why = check_fd(a, call, s, ret);
	if (why)
		complain(a, made, s, ret, err, why);
}
