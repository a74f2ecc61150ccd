/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The functions of simulated devices: which there are, and what the kernel says about them.
 */
#ifndef VFMIGCTL_DEVICE_H
#define VFMIGCTL_DEVICE_H

#include "types.h"

struct json_object;

#define SYS_PCI		"/sys/bus/pci/devices"
#define DEBUG_MODEL	"/sys/kernel/debug/vfmig"		/* of the model */
#define DEBUG_DRIVER	"/sys/kernel/debug/vfmig_vfio_pci"	/* of the variant driver */

#define BDF_SIZE	16U	/* "10000:00:00.0" and its end, with room */

/**
 * struct function - a PF or a VF
 * @bdf: its address
 * @pf: address of its PF, which is its own for a PF
 * @is_vf: it is a VF
 */
struct function {
	char bdf[BDF_SIZE];
	char pf[BDF_SIZE];
	bool is_vf;
};

/* All functions, VFs behind their PF; free() the array.  Returns their number. */
size_t find_functions(struct function **functions);

/*
 * The function that is called @name: its address, which may lack the domain if that is not
 * ambiguous.  If there is none, or it is not what is @wanted, prints why and returns false.
 */
enum wanted { WANT_ANY, WANT_PF, WANT_VF };
bool get_function(const char *name, enum wanted wanted, struct function *function);

/*
 * What the kernel says about all functions: an array of PFs, each with an array of VFs.  With
 * @all_values also all that is in debugfs.
 */
struct json_object *describe_functions(bool all_values);
/* The same of one function, without its VFs */
struct json_object *describe_function(const struct function *function);

/* proc.c: who has which VFIO device open; keys are paths in /dev/vfio and PCI addresses */
struct json_object *find_openers(void);
/* Those of a VF, as an array; NULL where it is not known */
struct json_object *openers_of(struct json_object *openers, const char *bdf);

/* table.c: what list and watch show */
struct table;
struct table *make_table(struct json_object *functions, struct json_object *before,
			 double seconds);
size_t table_rows(const struct table *table);
const char *table_row(const struct table *table, size_t row);
void free_table(struct table *table);

#endif /* VFMIGCTL_DEVICE_H */
