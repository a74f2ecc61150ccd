// SPDX-License-Identifier: GPL-2.0-only
/* The fds of ioctl_stress, which all threads share */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "command.h"
#include "compat.h"
#include "ioctl.h"

void fds_init(struct fuzz *fuzz)
{
	pthread_mutex_init(&fuzz->lock, NULL);
	pthread_rwlock_init(&fuzz->containers, NULL);
	for (unsigned int kind = 0; kind < KINDS; kind++)
		for (unsigned int i = 0; i < FDS_OF_KIND; i++)
			fuzz->fds[kind][i].fd = -1;
}

static void close_fd(struct fuzz *fuzz, int fd)
{
	pthread_rwlock_wrlock(&fuzz->containers);
	close(fd);
	pthread_rwlock_unlock(&fuzz->containers);
}

/* While such a call has a fd by its number, somebody else may close it */
static bool takes_fd(const struct call *call)
{
	for (const struct field *f = call->fields; f->size; f++)
		if (f->kind == FIELD_FD || f->kind == FIELD_FILE)
			return true;
	return call->request == VFIO_GROUP_UNSET_CONTAINER;
}

int fds_ioctl(struct fuzz *fuzz, const struct shared_fd *s, const struct call *call,
	      unsigned long request, unsigned long arg)
{
	bool reads = s->kind == KIND_CONTAINER, writes = !reads && call && takes_fd(call);
	int ret, err;

	if (reads)
		pthread_rwlock_rdlock(&fuzz->containers);
	else if (writes)
		pthread_rwlock_wrlock(&fuzz->containers);
	ret = ioctl(s->fd, request, arg);
	err = errno;
	if (reads || writes)
		pthread_rwlock_unlock(&fuzz->containers);
	errno = err;
	return ret;
}

/* Under @lock */
static void release(struct fuzz *fuzz, struct shared_fd *s)
{
	if (s->fd < 0 || s->refs || !s->closing)
		return;
	close_fd(fuzz, s->fd);
	s->fd = -1;
	s->closing = false;
}

void fds_add(struct fuzz_actor *a, int fd, enum kind kind, unsigned int vf)
{
	struct shared_fd *fds = a->fuzz->fds[kind], *s = NULL;

	pthread_mutex_lock(&a->fuzz->lock);
	for (unsigned int i = 0; i < FDS_OF_KIND; i++)
		if (fds[i].fd < 0)
			s = &fds[i];
	if (!s) {
		s = &fds[random_below(&a->random, FDS_OF_KIND)];
		s->closing = true;
		release(a->fuzz, s);
	}
	if (s->fd < 0) {
		*s = (struct shared_fd){ .fd = fd, .kind = kind, .vf = vf };
		fd = -1;
	}
	pthread_mutex_unlock(&a->fuzz->lock);
	/* The one that it would replace is in use */
	if (fd >= 0)
		close_fd(a->fuzz, fd);
}

/* Under @lock */
static struct shared_fd *some(struct fuzz_actor *a, u32 kinds)
{
	unsigned int first = random_below(&a->random, KINDS);

	for (unsigned int n = 0; n < KINDS; n++) {
		unsigned int kind = (first + n) % KINDS;
		unsigned int at = random_below(&a->random, FDS_OF_KIND);

		if (!(kinds >> kind & 1))
			continue;
		for (unsigned int i = 0; i < FDS_OF_KIND; i++) {
			struct shared_fd *s = &a->fuzz->fds[kind][(at + i) % FDS_OF_KIND];

			if (s->fd >= 0 && !s->closing)
				return s;
		}
	}
	return NULL;
}

struct shared_fd *fds_take(struct fuzz_actor *a, u32 kinds)
{
	struct shared_fd *s;

	pthread_mutex_lock(&a->fuzz->lock);
	s = some(a, kinds);
	if (s)
		s->refs++;
	pthread_mutex_unlock(&a->fuzz->lock);
	return s;
}

void fds_put(struct fuzz *fuzz, struct shared_fd *s)
{
	pthread_mutex_lock(&fuzz->lock);
	s->refs--;
	release(fuzz, s);
	pthread_mutex_unlock(&fuzz->lock);
}

void fds_close(struct fuzz *fuzz, struct shared_fd *s)
{
	pthread_mutex_lock(&fuzz->lock);
	s->closing = true;
	pthread_mutex_unlock(&fuzz->lock);
}

void fds_close_all(struct fuzz *fuzz)
{
	for (unsigned int kind = 0; kind < KINDS; kind++) {
		for (unsigned int i = 0; i < FDS_OF_KIND; i++) {
			struct shared_fd *s = &fuzz->fds[kind][i];

			must(!s->refs);
			s->closing = true;
			release(fuzz, s);
		}
	}
}

int fds_number(struct fuzz_actor *a, u32 kinds)
{
	struct shared_fd *s;
	int fd;

	pthread_mutex_lock(&a->fuzz->lock);
	s = some(a, kinds);
	fd = s ? s->fd : -1;
	pthread_mutex_unlock(&a->fuzz->lock);
	return fd;
}

static void keep(struct fuzz_actor *a, int fd, enum kind kind, unsigned int vf)
{
	if (fd >= 0)
		fds_add(a, fd, kind, vf);
}

/*
 * As far as the group has no container, and the container no IOMMU.  Some steps are left to an
 * ioctl of somebody else.
 */
static void connect(struct fuzz_actor *a, int group, int container, unsigned int vf)
{
	if (one_in(&a->random, 6))
		return;
	ioctl(group, VFIO_GROUP_SET_CONTAINER, &container);
	if (one_in(&a->random, 4))
		return;
	ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU);
	keep(a, ioctl(group, VFIO_GROUP_GET_DEVICE_FD, a->fuzz->vf[vf]), KIND_DEVICE, vf);
}

/* A group that was opened before, maybe in a container that another group has */
static void connect_again(struct fuzz_actor *a)
{
	struct shared_fd *group = fds_take(a, OF(GROUP)), *container = fds_take(a, OF(CONTAINER));

	if (group && container)
		connect(a, group->fd, container->fd, group->vf);
	if (group)
		fds_put(a->fuzz, group);
	if (container)
		fds_put(a->fuzz, container);
}

/* Others may have it open */
static void open_group(struct fuzz_actor *a, unsigned int vf)
{
	int container, group = open(a->fuzz->group[vf], O_RDWR | O_CLOEXEC);

	if (group < 0) {
		must(errno == EBUSY);
		connect_again(a);
		return;
	}
	container = open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC);
	must(container >= 0);
	connect(a, group, container, vf);
	keep(a, group, KIND_GROUP, vf);
	keep(a, container, KIND_CONTAINER, vf);
}

static int ioas_alloc(int iommufd, u32 *id)
{
	struct iommu_ioas_alloc alloc = { .size = sizeof(alloc) };
	int ret = ioctl(iommufd, IOMMU_IOAS_ALLOC, &alloc);

	*id = alloc.out_ioas_id;
	return ret;
}

static void map_areas(struct fuzz_actor *a, struct iommu *iommu)
{
	for (unsigned int i = 0; i < AREAS_MAPPED; i++)
		must(!iommu_map(iommu, DMA_IOVA + i * AREA_STRIDE, a->fuzz->dma + i * AREA_SIZE,
				AREA_SIZE, MAP_RW));
}

/*
 * In the order of enum object, so that the IDs are known.  False if somebody else has the device.
 * Nobody else knows these files yet.
 */
static bool make_objects(struct fuzz_actor *a, int iommufd, int cdev)
{
	struct vfio_device_bind_iommufd bind = { .argsz = sizeof(bind), .iommufd = iommufd };
	struct vfio_dev dev = { .fd = cdev };
	struct iommu space = { .fd = iommufd, .mode = IOMMU_IOMMUFD }, beside = space;
	struct iommu_vfio_ioas vfio = { .size = sizeof(vfio), .op = IOMMU_VFIO_IOAS_SET };
	u32 hwpt;

	must(!ioas_alloc(iommufd, &space.ioas_id) && !ioas_alloc(iommufd, &beside.ioas_id));
	map_areas(a, &space);
	map_areas(a, &beside);
	/* That of the ioctls of a container */
	vfio.ioas_id = space.ioas_id;
	must(!ioctl(iommufd, IOMMU_VFIO_IOAS, &vfio));
	/* Left to somebody else */
	if (cdev >= 0 && one_in(&a->random, 4))
		return true;
	if (cdev < 0 || ioctl(cdev, VFIO_DEVICE_BIND_IOMMUFD, &bind))
		return false;
	iommu_hwpt_alloc(&beside, bind.out_devid, IOMMU_HWPT_ALLOC_DIRTY_TRACKING, &hwpt);
	vfio_attach(&dev, &space.ioas_id);
	return true;
}

static void open_cdev(struct fuzz_actor *a, unsigned int vf)
{
	int cdev = open(a->fuzz->cdev[vf], O_RDWR | O_CLOEXEC);
	int iommufd = open("/dev/iommu", O_RDWR | O_CLOEXEC);

	must(iommufd >= 0);
	/* Most iommufds have a device */
	if (!make_objects(a, iommufd, cdev) && !one_in(&a->random, 4)) {
		close(iommufd);
		if (cdev >= 0)
			close_fd(a->fuzz, cdev);
		return;
	}
	keep(a, cdev, KIND_CDEV, vf);
	keep(a, iommufd, KIND_IOMMUFD, vf);
}

/*
 * A VF whose group is open can't be bound to an iommufd, and the other way round.  So every second
 * one is mostly opened by its cdev.
 */
static void open_device(struct fuzz_actor *a)
{
	unsigned int vf = random_below(&a->random, IOCTL_VFS);

	if (a->fuzz->iommufd && one_in(&a->random, 8) != (vf & 1))
		open_cdev(a, vf);
	else
		open_group(a, vf);
}

static void open_data(struct fuzz_actor *a)
{
	static const u32 states[] = { STOP_COPY, PRE_COPY, RESUMING };
	u32 state = states[random_below(&a->random, ARRAY_SIZE(states))];
	struct shared_fd *s = fds_take(a, ANY_DEVICE);
	struct vfio_dev dev;
	int fd;

	if (!s)
		return;
	dev.fd = s->fd;
	/* RUNNING first, as there is a data fd only on the way */
	if (!mig_set(&dev, RUNNING, NULL) && !mig_set(&dev, state, &fd))
		keep(a, fd, state == RESUMING ? KIND_LOAD : KIND_SAVE, s->vf);
	fds_put(a->fuzz, s);
}

static void open_small(struct fuzz_actor *a)
{
	unsigned int vf = random_below(&a->random, IOCTL_VFS);

	keep(a, event_new(), KIND_EVENT, 0);
	keep(a, open(command_path(a->fuzz->vf[vf], "faults"), O_RDWR | O_CLOEXEC), KIND_COMMAND,
	     vf);
}

void fds_open_some(struct fuzz_actor *a)
{
	a->opened++;
	switch (random_below(&a->random, 8)) {
	case 0:
	case 1:
	case 2:
		open_device(a);
		break;
	case 3:
		open_small(a);
		break;
	default:
		open_data(a);
	}
}

unsigned int fds_of_process(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned int n = 0;

	must(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}
