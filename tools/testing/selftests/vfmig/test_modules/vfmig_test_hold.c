// SPDX-License-Identifier: GPL-2.0-only
/*
 * Holds a copy of a function's DMA between its look at the page table and its access to the
 * page.  Without this the time between the two is too short for a test.
 *
 * The copy has interrupts off, and another caller of vfmig_pt_walk() has not.
 */
#include <linux/delay.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/ptrace.h>

#include <asm/processor-flags.h>

/* A driver that waits as it should waits for all of it */
#define HOLD_MS	1000

static ulong iova;
module_param(iova, ulong, 0644);
MODULE_PARM_DESC(iova, "the next copy there is held, 0 for none");

static int cpu = -1;
module_param(cpu, int, 0644);
MODULE_PARM_DESC(cpu, "the test's own, where no copy is held");

static bool held;
module_param(held, bool, 0444);
MODULE_PARM_DESC(held, "a copy was held");

static bool released;
module_param(released, bool, 0644);
MODULE_PARM_DESC(released, "the copy that is held goes on");

/* Nonzero if this walk is not for a copy to the address.  Then its return is not probed. */
static int hold_walk_begins(struct kretprobe_instance *instance, struct pt_regs *regs)
{
	ulong at = READ_ONCE(iova);

	return !at || regs_get_kernel_argument(regs, 1) != at || (regs->flags & X86_EFLAGS_IF) ||
	       raw_smp_processor_id() == READ_ONCE(cpu) || cmpxchg(&iova, at, 0) != at;
}

static int hold_walk_ends(struct kretprobe_instance *instance, struct pt_regs *regs)
{
	WRITE_ONCE(held, true);
	/* This CPU has its interrupts off, so time must go by without a tick */
	for (unsigned int ms = 0; ms < HOLD_MS && !READ_ONCE(released); ms++)
		mdelay(1);
	return 0;
}

static struct kretprobe hold_probe = {
	.kp.symbol_name = "vfmig_fabric:vfmig_pt_walk",
	.entry_handler = hold_walk_begins,
	.handler = hold_walk_ends,
	.maxactive = 64,
};

static int __init hold_init(void)
{
	return register_kretprobe(&hold_probe);
}
module_init(hold_init);

static void __exit hold_exit(void)
{
	unregister_kretprobe(&hold_probe);
}
module_exit(hold_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Test of vfmig: a copy that takes its time");
