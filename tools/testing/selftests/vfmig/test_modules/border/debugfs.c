// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a test tells the PF driver, in /sys/kernel/debug/vfmig_test_border/:
 *
 * register
 *	Registers the PF again, whose VFs must have no driver.  Words: flags=N hw_bars=N
 *	mem=pages|buffer log map silent without=OPERATION; the latter any number of times.
 * N/fail
 *	OPERATION ERRNO TIMES SKIP: the operation fails after SKIP calls, TIMES times, or
 *	always if TIMES is -1.  "none": no operation fails any more.
 * N/calls
 *	Each operation and how often it was called.  A write sets the counts to 0.
 * N/event
 *	Calls the client: reset, lost, gone, unmap.  "ready MS": in MS milliseconds from an
 *	interrupt, and operations that failed with -EAGAIN work again.
 * N/state
 *	Words: size=N early=N piece=N claim=N; dirty=N and reinit=N in a save; new: has no
 *	memory allocated, and no save or load is on.
 *	Reads as: bytes that were loaded, pieces of them that were wrong.
 * N/memory
 *	The memory.  A write makes it dirty.
 * N/running
 *	0 runs, 1 quiesced, 2 frozen.
 */
#include <linux/debugfs.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "border.h"

struct border_offer border_offer;

static struct dentry *root;
static struct pci_dev *border_pf;
static bool registered;

static int find_op(const char *name)
{
	for (unsigned int i = 0; i < BORDER_OPS; i++)
		if (!strcmp(border_ops[i].name, name))
			return i;
	return -ENOENT;
}

static int leave_out(const char *name)
{
	int op = find_op(name);

	if (!strcmp(name, "owner")) {
		border_offer.vf.owner = NULL;
		return 0;
	}
	if (op < 0)
		return op;
	*(void **)((void *)&border_offer + border_ops[op].offset) = NULL;
	return 0;
}

static int offer_memory(const char *how)
{
	bool pages = !strcmp(how, "pages");

	border_offer.vf.mem = &border_offer.mem;
	if (pages) {
		border_offer.mem.read = NULL;
		border_offer.mem.load_data = NULL;
	} else {
		border_offer.mem.page = NULL;
		border_offer.mem.load_page = NULL;
	}
	return 0;
}

static int offer(char *key)
{
	char *value = strchr(key, '=');

	if (value)
		*value++ = 0;
	if (!strcmp(key, "flags") && value)
		return kstrtou64(value, 0, &border_offer.vf.migration_flags);
	if (!strcmp(key, "hw_bars") && value)
		return kstrtou32(value, 0, &border_offer.vf.hw_bars);
	if (!strcmp(key, "mem") && value)
		return offer_memory(value);
	if (!strcmp(key, "without") && value)
		return leave_out(value);
	if (!strcmp(key, "log"))
		border_offer.vf.log = &border_offer.log;
	else if (!strcmp(key, "map"))
		border_offer.vf.map_area = border_map_area;
	else if (!strcmp(key, "silent"))
		border_offer.silent = true;
	else
		return -ENOENT;
	return 0;
}

static int register_pf(struct border_vf *unused, char *text)
{
	char *word;
	int ret = 0;

	strreplace(text, '\n', ' ');
	if (registered)
		vfmig_unregister_pf(border_pf);
	registered = false;
	border_offer = (struct border_offer) {
		.vf = border_vf_ops,
		.mem = border_mem_ops,
		.log = border_log_ops,
	};
	while (!ret && (word = strsep(&text, " ")))
		if (*word)
			ret = offer(word);
	if (ret)
		return ret;
	ret = vfmig_register_pf(border_pf, &border_offer.vf);
	registered = !ret;
	return ret;
}

static int set_fail(struct border_vf *vf, char *text)
{
	int err, times, skip, op;
	char name[32];

	guard(spinlock_irqsave)(&vf->ready_lock);
	if (!strcmp(text, "none")) {
		memset(vf->fail, 0, sizeof(vf->fail));
		return 0;
	}
	if (sscanf(text, "%31s %d %d %d", name, &err, &times, &skip) != 4)
		return -EINVAL;
	op = find_op(name);
	if (op < 0)
		return op;
	vf->fail[op].err = err;
	vf->fail[op].left = times;
	vf->fail[op].skip = skip;
	return 0;
}

static int clear_calls(struct border_vf *vf, char *text)
{
	for (unsigned int i = 0; i < BORDER_OPS; i++)
		atomic_set(&vf->calls[i], 0);
	return 0;
}

static int call_client(struct border_vf *vf, char *text)
{
	unsigned int ms;

	if (sscanf(text, "ready %u", &ms) == 1) {
		mod_timer(&vf->ready_timer, jiffies + msecs_to_jiffies(ms));
		return 0;
	}
	guard(mutex)(&vf->client_lock);
	if (!vf->client)
		return -ENODEV;
	if (!strcmp(text, "reset"))
		vf->client->reset(vf->client_data);
	else if (!strcmp(text, "lost"))
		vf->client->lost(vf->client_data);
	else if (!strcmp(text, "gone"))
		vf->client->gone(vf->client_data);
	else if (!strcmp(text, "unmap"))
		vf->client->unmap(vf->client_data);
	else
		return -EINVAL;
	return 0;
}

static int set_state_word(struct border_vf *vf, char *key)
{
	char *text = strchr(key, '=');
	u64 value;

	if (!strcmp(key, "new")) {
		border_memory_free(&vf->memory);
		vf->saving = false;
		vf->loading = false;
		return 0;
	}
	if (!text)
		return -EINVAL;
	*text++ = 0;
	if (kstrtou64(text, 0, &value))
		return -EINVAL;
	if (!strcmp(key, "size"))
		vf->size = value;
	else if (!strcmp(key, "early"))
		vf->early = value;
	else if (!strcmp(key, "piece"))
		vf->piece = value;
	else if (!strcmp(key, "claim"))
		vf->claim = value;
	else if (!strcmp(key, "dirty"))
		vf->left.dirty += value;
	else if (!strcmp(key, "reinit"))
		vf->left = (struct vfmig_state_pending) {
			.reinit = value,
			.final = vf->left.final,
			.reinits = vf->left.reinits + 1,
		};
	else
		return -ENOENT;
	return 0;
}

static int set_state(struct border_vf *vf, char *text)
{
	char *word;
	int ret = 0;

	strreplace(text, '\n', ' ');
	scoped_guard(mutex, &vf->lock)
		while (!ret && (word = strsep(&text, " ")))
			if (*word)
				ret = set_state_word(vf, word);
	guard(spinlock_irqsave)(&vf->ready_lock);
	if (vf->client)
		vf->client->data_ready(vf->client_data);
	return ret;
}

static ssize_t write_text(struct file *file, const char __user *from, size_t count,
			  int (*take)(struct border_vf *vf, char *text))
{
	char *text;
	int ret;

	if (count > SZ_4K)
		return -E2BIG;
	text = memdup_user_nul(from, count);
	if (IS_ERR(text))
		return PTR_ERR(text);
	ret = take(file->private_data, strim(text));
	kfree(text);
	return ret ?: count;
}

static ssize_t calls_read(struct file *file, char __user *to, size_t count, loff_t *pos)
{
	char *text __free(kfree) = kzalloc(SZ_4K, GFP_KERNEL);
	struct border_vf *vf = file->private_data;
	size_t len = 0;

	if (!text)
		return -ENOMEM;
	for (unsigned int i = 0; i < BORDER_OPS; i++)
		len += scnprintf(text + len, SZ_4K - len, "%s %d\n", border_ops[i].name,
				 atomic_read(&vf->calls[i]));
	return simple_read_from_buffer(to, count, pos, text, len);
}

static ssize_t state_read(struct file *file, char __user *to, size_t count, loff_t *pos)
{
	struct border_vf *vf = file->private_data;
	char text[64];
	size_t len;

	scoped_guard(mutex, &vf->lock)
		len = scnprintf(text, sizeof(text), "%llu %llu\n", vf->loaded, vf->wrong);
	return simple_read_from_buffer(to, count, pos, text, len);
}

static ssize_t running_read(struct file *file, char __user *to, size_t count, loff_t *pos)
{
	struct border_vf *vf = file->private_data;
	char text[8];
	size_t len;

	scoped_guard(mutex, &vf->lock)
		len = scnprintf(text, sizeof(text), "%u\n", vf->running);
	return simple_read_from_buffer(to, count, pos, text, len);
}

static ssize_t memory_read(struct file *file, char __user *to, size_t count, loff_t *pos)
{
	struct border_vf *vf = file->private_data;
	size_t len = min_t(size_t, count, SZ_64K);
	void *buf;

	if (*pos >= BORDER_MEMORY)
		return 0;
	len = min_t(u64, len, BORDER_MEMORY - *pos);
	buf = kvmalloc(len, GFP_KERNEL);
	if (!buf)
		return -ENOMEM;
	border_memory_read(vf, *pos, buf, len);
	if (copy_to_user(to, buf, len))
		len = 0;
	kvfree(buf);
	*pos += len;
	return len ?: -EFAULT;
}

static ssize_t memory_write(struct file *file, const char __user *from, size_t count, loff_t *pos)
{
	struct border_vf *vf = file->private_data;
	size_t len = min_t(size_t, count, SZ_64K);
	void *buf;
	int ret;

	if (*pos >= BORDER_MEMORY)
		return -ENOSPC;
	len = min_t(u64, len, BORDER_MEMORY - *pos);
	buf = vmemdup_user(from, len);
	if (IS_ERR(buf))
		return PTR_ERR(buf);
	ret = border_memory_write(vf, *pos, buf, len);
	kvfree(buf);
	if (ret)
		return ret;
	*pos += len;
	return len;
}

#define TEXT_FILE(name, take)							\
static ssize_t name##_write(struct file *file, const char __user *from,	\
			    size_t count, loff_t *pos)				\
{										\
	return write_text(file, from, count, take);				\
}

TEXT_FILE(register, register_pf)
TEXT_FILE(fail, set_fail)
TEXT_FILE(calls, clear_calls)
TEXT_FILE(event, call_client)
TEXT_FILE(state, set_state)

#define FOPS(name, reader, writer)						\
static const struct file_operations name##_fops = {				\
	.owner = THIS_MODULE,							\
	.open = simple_open,							\
	.read = reader,								\
	.write = writer,							\
	.llseek = default_llseek,						\
}

FOPS(register, NULL, register_write);
FOPS(fail, NULL, fail_write);
FOPS(calls, calls_read, calls_write);
FOPS(event, NULL, event_write);
FOPS(state, state_read, state_write);
FOPS(memory, memory_read, memory_write);
FOPS(running, running_read, NULL);

static void add_vf(struct border_vf *vf, unsigned int index)
{
	struct dentry *dir;
	char name[8];

	snprintf(name, sizeof(name), "%u", index);
	dir = debugfs_create_dir(name, root);
	debugfs_create_file("fail", 0200, dir, vf, &fail_fops);
	debugfs_create_file("calls", 0600, dir, vf, &calls_fops);
	debugfs_create_file("event", 0200, dir, vf, &event_fops);
	debugfs_create_file("state", 0600, dir, vf, &state_fops);
	debugfs_create_file("memory", 0600, dir, vf, &memory_fops);
	debugfs_create_file("running", 0400, dir, vf, &running_fops);
}

void border_debugfs_init(struct pci_dev *pf)
{
	border_pf = pf;
	root = debugfs_create_dir(KBUILD_MODNAME, NULL);
	debugfs_create_file("register", 0200, root, NULL, &register_fops);
	for (unsigned int i = 0; i < BORDER_VFS; i++)
		add_vf(&border_vfs[i], i);
}

/* The VFs are gone */
void border_debugfs_exit(void)
{
	debugfs_remove(root);
	for (unsigned int i = 0; i < BORDER_VFS; i++)
		timer_shutdown_sync(&border_vfs[i].ready_timer);
	if (registered)
		vfmig_unregister_pf(border_pf);
	registered = false;
}
