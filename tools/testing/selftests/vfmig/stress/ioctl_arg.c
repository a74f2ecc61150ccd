// SPDX-License-Identifier: GPL-2.0-only
/*
 * Arguments for ioctls: valid ones from their description, with some fields damaged, in memory
 * that may end in the middle of them or can't be written to.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ioctl.h"

#define FIELD_DAMAGE	12	/* one in so many fields is damaged */
#define PLACE_DAMAGE	8	/* and one in so many arguments is in bad memory */
#define ROOM_OFFSET	1024

/* Nothing is mapped there */
static u8 *map_with_end(size_t size, int prot, int fd)
{
	u8 *mem = mmap(NULL, size + PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	must(mem != MAP_FAILED);
	must(mmap(mem, size, prot, MAP_SHARED | MAP_FIXED | (fd < 0 ? MAP_ANONYMOUS : 0), fd, 0) ==
	     mem);
	return mem;
}

void argument_init(struct argument *arg, u64 seed)
{
	int fd = memfd_create("argument", MFD_CLOEXEC);

	must(fd >= 0);
	must(!ftruncate(fd, PAGE));
	arg->room = map_with_end(PAGE, PROT_READ | PROT_WRITE, fd);
	arg->view = map_with_end(PAGE, PROT_READ, fd);
	arg->buffer = map_with_end(BUFFER_SIZE, PROT_READ | PROT_WRITE, -1);
	close(fd);
	fill_pattern(arg->pattern, PAGE, seed);
	memcpy(arg->room, arg->pattern, PAGE);
}

void argument_exit(struct argument *arg)
{
	munmap(arg->room, 2 * PAGE);
	munmap(arg->view, 2 * PAGE);
	munmap(arg->buffer, BUFFER_SIZE + PAGE);
}

void argument_end(struct argument *arg)
{
	memcpy(arg->room, arg->pattern, PAGE);
}

void *bad_pointer(struct fuzz_actor *a)
{
	const u64 bad[] = {
		0, 1, 8, (u64)(a->arg.room + PAGE), (u64)a->arg.view, (u64)(a->arg.view + 1),
		0x7ffffffff000, 0x800000000000, 0xffff888000000000, 0xffffffff81000000, ~0ULL,
		~0ULL - 7,
	};

	return (void *)bad[random_below(&a->random, ARRAY_SIZE(bad))];
}

static u64 any_number(struct fuzz_actor *a)
{
	const u64 edges[] = {
		0, 1, 2, 0x7f, 0x80, 0xff, 0xffff, 0x10000, 0x7fffffff, 0x80000000, 0xfffffffe,
		0xffffffff, 0x100000000, 0x7fffffffffffffff, 0x8000000000000000, ~0ULL - PAGE + 1,
		~0ULL - 1, ~0ULL,
	};

	if (one_in(&a->random, 3))
		return next_random(&a->random) >> random_below(&a->random, 64);
	return edges[random_below(&a->random, ARRAY_SIZE(edges))];
}

/* Objects come and go, so any small ID may be one */
static u32 some_id(struct fuzz_actor *a, u32 valid, u64 random)
{
	unsigned int id = random >> 8 & 7;

	while ((a->arg.good || random & 3) && !(valid >> id & 1))
		id = (random >> 12 & 1 ? id + 1 : id - 1) & 7;
	return id;
}

/* One that another call may have mapped, or may map */
static u64 some_iova(u64 random)
{
	if (random >> 16 & 3)
		return DMA_IOVA + random % AREAS * AREA_STRIDE;
	return DMA_IOVA + random % (AREAS * AREA_STRIDE / PAGE / 4) * 4 * PAGE;
}

static u64 valid_field(struct fuzz_actor *a, const struct call *call, const struct field *f)
{
	u64 random = next_random(&a->random);

	switch (f->kind) {
	case FIELD_ARGSZ:
		/* A user may know a longer argument than the kernel */
		return call->size + (a->arg.good || random % 4 ? 0 : random >> 8 & 0x3f);
	case FIELD_FLAGS:
		return f->valid & (random >> 8);
	case FIELD_BIT:
		return f->valid & 1ULL << random % 3;
	case FIELD_IRQ:
		if (random >> 16 & 1)
			return VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER;
		return 1ULL << random % 3 | 8ULL << (random >> 8) % 3;
	case FIELD_FEATURE:
		return call->feature | f->valid | (random % 8 ? 0 : VFIO_DEVICE_FEATURE_PROBE);
	case FIELD_NUMBER:
		return random >> 32 & 1 ? f->usual : random % (f->valid + 1);
	case FIELD_STATE:
		return random % STATES;
	case FIELD_FD:
		return a->arg.good || random % 8 ? (u32)fds_number(a, f->valid) : (u32)-1;
	case FIELD_FILE:
		return a->fuzz->dma_fd;
	case FIELD_ID:
		return some_id(a, f->valid, random);
	case FIELD_IOVA:
		return some_iova(random);
	case FIELD_LENGTH:
		return random >> 16 & 3 ? AREA_SIZE : (1 + random % 16) * PAGE;
	case FIELD_PAGE_SIZE:
		return PAGE << random % 4;
	case FIELD_MEMORY:
		return (u64)(a->fuzz->dma + random % 128 * PAGE);
	case FIELD_POINTER:
		return (u64)(a->arg.buffer + BUFFER_SIZE - (1 + random % 64) * 8);
	default:
		return 0;
	}
}

static u64 damaged_argsz(struct fuzz_actor *a, const struct call *call)
{
	switch (random_below(&a->random, 4)) {
	case 0:
		return random_below(&a->random, call->minsz);
	case 1:
		return call->minsz + random_below(&a->random, call->size - call->minsz + 1);
	case 2:
		return call->size + random_below(&a->random, PAGE);
	default:
		return any_number(a);
	}
}

static u64 damaged_field(struct fuzz_actor *a, const struct call *call, const struct field *f)
{
	switch (f->kind) {
	case FIELD_ARGSZ:
		return damaged_argsz(a, call);
	case FIELD_FEATURE:
		return (call->feature | f->valid) ^ 1ULL << random_below(&a->random, 20);
	case FIELD_STATE:
		return one_in(&a->random, 2) ? STATES : any_number(a);
	case FIELD_FD:
		/* Of any kind; one that was never open; none */
		return one_in(&a->random, 3) ? any_number(a) : (u32)fds_number(a, ANY_KIND);
	case FIELD_FILE:
		/*
		 * iommufd takes a reference to any file, also to one that holds a reference to the
		 * iommufd: both would stay for ever
		 */
		return one_in(&a->random, 2) ? STDOUT_FILENO : (u32)-1;
	case FIELD_IOVA:
	case FIELD_LENGTH:
	case FIELD_MEMORY:
		return one_in(&a->random, 2) ? any_number(a) & ~(PAGE - 1) : any_number(a);
	case FIELD_PAGE_SIZE:
		/* Type1 passes it to __ffs() before it checks it: 0 would be a shift by 64 */
		return any_number(a) ?: 3;
	case FIELD_POINTER:
		return (u64)bad_pointer(a);
	default:
		return any_number(a);
	}
}

/* What FIELD_POINTER points to is read by some: ranges, and bitmaps are merged */
static void fill_buffer(struct fuzz_actor *a)
{
	u64 *words = (u64 *)(a->arg.buffer + BUFFER_SIZE) - 64;

	for (unsigned int i = 0; i < 64; i += 2) {
		words[i] = one_in(&a->random, FIELD_DAMAGE) ? any_number(a) :
			   DMA_IOVA + i * 32 * PAGE;
		words[i + 1] = one_in(&a->random, FIELD_DAMAGE) ? any_number(a) : 16 * PAGE;
	}
}

static unsigned int build_struct(struct fuzz_actor *a, const struct call *call, u8 *to)
{
	memset(to, 0, call->size);
	for (const struct field *f = call->fields; f->size; f++) {
		bool damage = !a->arg.good && one_in(&a->random, FIELD_DAMAGE);
		u64 value = damage ? damaged_field(a, call, f) : valid_field(a, call, f);

		/* Two fields to 64 bytes of a user's buffer */
		if (f->kind == FIELD_POINTER)
			fill_buffer(a);
		memcpy(to + f->offset, &value, f->size);
	}
	return call->size;
}

static unsigned int build_name(struct fuzz_actor *a, unsigned int vf, u8 *to)
{
	unsigned int len = snprintf((char *)to, BDF_SIZE, "%s", a->fuzz->vf[vf]);

	if (a->arg.good)
		return len + 1;
	if (one_in(&a->random, 4))
		to[random_below(&a->random, len)] = next_random(&a->random);
	/* No end */
	if (one_in(&a->random, 16))
		return len;
	return len + 1;
}

static void choose_place(struct fuzz_actor *a, struct argument *arg)
{
	if (!arg->good && one_in(&a->random, PLACE_DAMAGE))
		arg->place = PLACE_CROSS + random_below(&a->random, 3);
	else
		arg->place = random_below(&a->random, 2) ? PLACE_FREE : PLACE_END;
	arg->offset = ROOM_OFFSET + random_below(&a->random, 16) * 8;
	if (arg->place == PLACE_END)
		arg->offset = PAGE - arg->length;
	else if (arg->place == PLACE_CROSS)
		arg->offset = PAGE - random_below(&a->random, arg->length);
}

static void put(struct fuzz_actor *a, const u8 *built)
{
	struct argument *arg = &a->arg;
	unsigned int fits = arg->length < PAGE - arg->offset ? arg->length : PAGE - arg->offset;

	memcpy(arg->room + arg->offset, built, fits);
	memcpy(arg->image, arg->room, PAGE);
	arg->value = (unsigned long)(arg->room + arg->offset);
	if (arg->place == PLACE_READ_ONLY)
		arg->value = (unsigned long)(arg->view + arg->offset);
	while (arg->place == PLACE_NOWHERE) {
		arg->value = (unsigned long)bad_pointer(a);
		/* That one can be read */
		if (arg->value - (unsigned long)arg->view >= PAGE)
			break;
	}
}

static unsigned long some_value(struct fuzz_actor *a, const struct call *call)
{
	if (a->arg.good && call->request == VFIO_SET_IOMMU)
		return VFIO_TYPE1v2_IOMMU;
	return one_in(&a->random, 3) ? any_number(a) : random_below(&a->random, 12);
}

void argument_make(struct fuzz_actor *a, const struct call *call, unsigned int vf, bool good)
{
	struct argument *arg = &a->arg;
	u8 built[256];

	arg->length = 0;
	arg->good = good;
	switch (call->arg) {
	case ARG_VALUE:
		arg->place = PLACE_FREE;
		arg->value = some_value(a, call);
		memcpy(arg->image, arg->room, PAGE);
		return;
	case ARG_NAME:
		arg->length = build_name(a, vf, built);
		break;
	default:
		arg->length = build_struct(a, call, built);
	}
	choose_place(a, arg);
	put(a, built);
}
