// SPDX-License-Identifier: GPL-2.0-only
/* See virtq.h; all integers are little-endian, as is every machine this runs on */
#include "virtq.h"

#include <string.h>

#define AVAIL_FLAG	(1 << VRING_PACKED_DESC_F_AVAIL)
#define USED_FLAG	(1 << VRING_PACKED_DESC_F_USED)
#define EVENT_WRAP	(1 << VRING_PACKED_EVENT_F_WRAP_CTR)

#define load(field)		__atomic_load_n(&(field), __ATOMIC_ACQUIRE)
#define store(field, val)	__atomic_store_n(&(field), val, __ATOMIC_RELEASE)

static bool has(const struct virtq *q, unsigned int feature)
{
	return q->vio->features & FEATURE(feature);
}

/* Each area has pages of its own, so that one of them can be unmapped */
static void place_areas(struct virtq *q)
{
	u8 *driver, *device;

	if (!q->mem) {
		q->mem = arena_alloc(q->vio->mem, 3 * PAGE);
		q->tables = arena_alloc(q->vio->mem, VIRTQ_MAX * VIRTQ_INDIRECT *
					sizeof(struct vring_desc));
	}
	driver = (u8 *)q->mem + PAGE;
	device = (u8 *)q->mem + 2 * PAGE;
	memset(q->mem, 0, 3 * PAGE);
	q->desc = q->mem;
	q->ring = q->mem;
	q->avail = (void *)driver;
	q->want = (void *)driver;
	q->used = (void *)device;
	q->wanted = (void *)device;
}

void virtq_clear(struct virtq *q)
{
	place_areas(q);
	q->next = 0;
	q->last = 0;
	q->next_wrap = true;
	q->last_wrap = true;
	q->added = 0;
	q->free = q->size;
	q->free_id = 0;
	for (unsigned int i = 0; i < VIRTQ_MAX; i++) {
		q->link[i] = i + 1;
		q->slots[i] = 0;
	}
	q->quiet = false;
}

void virtq_setup(struct virtio *vio, struct virtq *q, u16 index, u16 size, u16 vector)
{
	must(size && size <= VIRTQ_MAX);
	q->vio = vio;
	q->index = index;
	q->size = size;
	q->packed = has(q, VIRTIO_F_RING_PACKED);
	virtq_clear(q);

	must(queue_read(vio, index, VIRTIO_PCI_COMMON_Q_SIZE) >= size);
	q->notify = vio->notify.offset + (u64)vio->notify_step *
		    queue_read(vio, index, VIRTIO_PCI_COMMON_Q_NOFF);
	queue_write(vio, index, VIRTIO_PCI_COMMON_Q_SIZE, size);
	queue_write(vio, index, VIRTIO_PCI_COMMON_Q_MSIX, vector);
	must(queue_read(vio, index, VIRTIO_PCI_COMMON_Q_MSIX) == vector);
	queue_write64(vio, index, VIRTIO_PCI_COMMON_Q_DESCLO, arena_iova(vio->mem, q->desc));
	queue_write64(vio, index, VIRTIO_PCI_COMMON_Q_AVAILLO, arena_iova(vio->mem, q->avail));
	queue_write64(vio, index, VIRTIO_PCI_COMMON_Q_USEDLO, arena_iova(vio->mem, q->used));
	queue_write(vio, index, VIRTIO_PCI_COMMON_Q_ENABLE, 1);
	must(queue_read(vio, index, VIRTIO_PCI_COMMON_Q_ENABLE) == 1);
}

static u16 *used_event(struct virtq *q)
{
	return &q->avail->ring[q->size];
}

static u16 *avail_event(struct virtq *q)
{
	return (void *)&q->used->ring[q->size];
}

/* Make the split chain that begins at @head available */
static void publish_split(struct virtq *q, u16 head)
{
	q->avail->ring[q->next % q->size] = head;
	store(q->avail->idx, ++q->next);
	q->added++;
}

static u16 add_split(struct virtq *q, const struct virtq_piece *pieces, unsigned int n)
{
	u16 head = q->free_id, at = head;

	for (unsigned int i = 0; i < n; i++) {
		bool more = i < n - 1;

		q->desc[at] = (struct vring_desc){
			.addr = pieces[i].iova,
			.len = pieces[i].len,
			.flags = (pieces[i].write ? VRING_DESC_F_WRITE : 0) |
				 (more ? VRING_DESC_F_NEXT : 0),
			.next = more ? q->link[at] : 0,
		};
		if (more)
			at = q->link[at];
	}
	q->free_id = q->link[at];
	publish_split(q, head);
	return head;
}

static void step(const struct virtq *q, u16 *entry, bool *wrap)
{
	if (++*entry == q->size) {
		*entry = 0;
		*wrap = !*wrap;
	}
}

/* Write a descriptor to the next entry, whose flags go to *@flags if that is not NULL */
static void put_packed(struct virtq *q, struct vring_packed_desc desc, u16 *flags)
{
	struct vring_packed_desc *entry = &q->ring[q->next];

	desc.flags |= q->next_wrap ? AVAIL_FLAG : USED_FLAG;
	entry->addr = desc.addr;
	entry->len = desc.len;
	entry->id = desc.id;
	if (flags)
		*flags = desc.flags;
	else
		entry->flags = desc.flags;
	step(q, &q->next, &q->next_wrap);
	q->added++;
}

static u16 add_packed(struct virtq *q, const struct virtq_piece *pieces, unsigned int n)
{
	u16 id = q->free_id, first = q->next, flags;

	for (unsigned int i = 0; i < n; i++) {
		struct vring_packed_desc desc = {
			.addr = pieces[i].iova,
			.len = pieces[i].len,
			.id = id,
			.flags = (pieces[i].write ? VRING_DESC_F_WRITE : 0) |
				 (i < n - 1 ? VRING_DESC_F_NEXT : 0),
		};

		put_packed(q, desc, i ? NULL : &flags);
	}
	q->free_id = q->link[id];
	/* The device looks at the first entry */
	store(q->ring[first].flags, flags);
	return id;
}

u16 virtq_add(struct virtq *q, const struct virtq_piece *pieces, unsigned int n)
{
	u16 id;

	must(n && n <= q->free);
	id = q->packed ? add_packed(q, pieces, n) : add_split(q, pieces, n);
	q->free -= n;
	q->slots[id] = n;
	return id;
}

u16 virtq_add_indirect(struct virtq *q, const struct virtq_piece *pieces, unsigned int n)
{
	u8 *table = q->tables + q->free_id * VIRTQ_INDIRECT * sizeof(struct vring_desc);
	struct virtq_piece one = {
		.iova = arena_iova(q->vio->mem, table),
		.len = n * sizeof(struct vring_desc),
	};
	u16 id = q->free_id, at = q->next;

	must(n && n <= VIRTQ_INDIRECT && q->free);
	for (unsigned int i = 0; i < n; i++) {
		struct vring_packed_desc *packed = (void *)(table + i * sizeof(*packed));
		struct vring_desc *split = (void *)(table + i * sizeof(*split));
		u16 flags = pieces[i].write ? VRING_DESC_F_WRITE : 0;

		if (q->packed)
			*packed = (struct vring_packed_desc){ pieces[i].iova, pieces[i].len, 0,
							      flags };
		else
			*split = (struct vring_desc){
				.addr = pieces[i].iova,
				.len = pieces[i].len,
				.flags = flags | (i < n - 1 ? VRING_DESC_F_NEXT : 0),
				.next = i + 1,
			};
	}
	if (q->packed) {
		struct vring_packed_desc desc = {
			.addr = one.iova,
			.len = one.len,
			.id = id,
			.flags = VRING_DESC_F_INDIRECT,
		};
		u16 flags;

		put_packed(q, desc, &flags);
		q->free_id = q->link[id];
		store(q->ring[at].flags, flags);
	} else {
		q->desc[id] = (struct vring_desc){ one.iova, one.len, VRING_DESC_F_INDIRECT, 0 };
		q->free_id = q->link[id];
		publish_split(q, id);
	}
	q->free--;
	q->slots[id] = 1;
	return id;
}

void virtq_add_raw(struct virtq *q, const struct virtq_raw *raw, unsigned int n)
{
	u16 first = q->next, flags = 0;

	for (unsigned int i = 0; i < n; i++) {
		struct vring_packed_desc desc = {
			.addr = raw[i].iova,
			.len = raw[i].len,
			.flags = raw[i].flags,
		};

		if (q->packed)
			put_packed(q, desc, i ? NULL : &flags);
		else
			q->desc[i] = (struct vring_desc){ raw[i].iova, raw[i].len, raw[i].flags,
							  raw[i].next };
	}
	if (q->packed)
		store(q->ring[first].flags, flags);
	else
		publish_split(q, 0);
}

static bool wants_kick_packed(const struct virtq *q, u16 added)
{
	u16 off_wrap = load(q->wanted->off_wrap), flags = load(q->wanted->flags);
	u16 event = off_wrap & ~EVENT_WRAP;

	if (flags != VRING_PACKED_EVENT_FLAG_DESC)
		return flags == VRING_PACKED_EVENT_FLAG_ENABLE;
	if (!!(off_wrap & EVENT_WRAP) != q->next_wrap)
		event -= q->size;
	return vring_need_event(event, q->next, q->next - added);
}

bool virtq_wants_kick(struct virtq *q)
{
	u16 added = q->added;

	q->added = 0;
	/* After the buffers were made available */
	__sync_synchronize();
	if (!added)
		return false;
	if (q->packed)
		return wants_kick_packed(q, added);
	if (has(q, VIRTIO_RING_F_EVENT_IDX))
		return vring_need_event(load(*avail_event(q)), q->next, q->next - added);
	return !(load(q->used->flags) & VRING_USED_F_NO_NOTIFY);
}

void virtq_notify(struct virtq *q)
{
	bar_write(q->vio->dev, q->notify, q->index, 2);
}

void virtq_kick(struct virtq *q)
{
	if (virtq_wants_kick(q))
		virtq_notify(q);
}

static bool get_split(struct virtq *q, struct virtq_used *used)
{
	const struct vring_used_elem *elem;
	u16 id;

	if (load(q->used->idx) == q->last)
		return false;
	elem = &q->used->ring[q->last++ % q->size];
	must(elem->id < q->size && q->slots[elem->id]);
	used->id = elem->id;
	used->len = elem->len;

	/* Put the chain before the free descriptors */
	id = used->id;
	for (unsigned int i = 1; i < q->slots[used->id]; i++)
		id = q->link[id];
	q->link[id] = q->free_id;
	q->free_id = used->id;
	return true;
}

static bool get_packed(struct virtq *q, struct virtq_used *used)
{
	const struct vring_packed_desc *entry = &q->ring[q->last];
	u16 flags = load(entry->flags);

	if (!!(flags & AVAIL_FLAG) != q->last_wrap || !!(flags & USED_FLAG) != q->last_wrap)
		return false;
	must(entry->id < q->size && q->slots[entry->id]);
	used->id = entry->id;
	used->len = entry->len;
	for (unsigned int i = 0; i < q->slots[used->id]; i++)
		step(q, &q->last, &q->last_wrap);
	q->link[used->id] = q->free_id;
	q->free_id = used->id;
	return true;
}

bool virtq_get(struct virtq *q, struct virtq_used *used)
{
	if (!(q->packed ? get_packed(q, used) : get_split(q, used)))
		return false;
	q->free += q->slots[used->id];
	q->slots[used->id] = 0;
	if (!q->packed && !q->quiet && has(q, VIRTIO_RING_F_EVENT_IDX))
		store(*used_event(q), q->last);
	return true;
}

bool virtq_wait(struct virtq *q, struct virtq_used *used)
{
	return wait_until(virtq_get(q, used));
}

void virtq_quiet(struct virtq *q, bool quiet)
{
	q->quiet = quiet;
	if (q->packed)
		store(q->want->flags, quiet ? VRING_PACKED_EVENT_FLAG_DISABLE :
					      VRING_PACKED_EVENT_FLAG_ENABLE);
	else if (has(q, VIRTIO_RING_F_EVENT_IDX))
		/* One that is past comes again after 65535 buffers only */
		store(*used_event(q), quiet ? q->last - 1 : q->last);
	else
		store(q->avail->flags, quiet ? VRING_AVAIL_F_NO_INTERRUPT : 0);
	/* Before a look for used buffers */
	__sync_synchronize();
}

void virtq_interrupt_after(struct virtq *q, u16 n)
{
	u16 entry = q->last;
	bool wrap = q->last_wrap;

	must(n && has(q, VIRTIO_RING_F_EVENT_IDX));
	q->quiet = true;	/* so virtq_get() leaves the event alone */
	if (!q->packed) {
		store(*used_event(q), q->last + n - 1);
		return;
	}
	for (unsigned int i = 1; i < n; i++)
		step(q, &entry, &wrap);
	store(q->want->off_wrap, entry | (wrap ? EVENT_WRAP : 0));
	store(q->want->flags, VRING_PACKED_EVENT_FLAG_DESC);
}
