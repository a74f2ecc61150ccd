/* SPDX-License-Identifier: GPL-2.0-only */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM vfmig

#if !defined(_VFMIG_FABRIC_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define _VFMIG_FABRIC_TRACE_H

#include <linux/tracepoint.h>

/* Pages of guest memory were written again on purpose (rewrite.c): pages now, total so far */
TRACE_EVENT(vfmig_rewrite,
	TP_PROTO(const char *dev, unsigned int pages, u64 total),
	TP_ARGS(dev, pages, total),
	TP_STRUCT__entry(
		__string(dev, dev)
		__field(unsigned int, pages)
		__field(u64, total)
	),
	TP_fast_assign(
		__assign_str(dev);
		__entry->pages = pages;
		__entry->total = total;
	),
	TP_printk("%s %u pages, %llu so far", __get_str(dev), __entry->pages, __entry->total)
);

#endif /* _VFMIG_FABRIC_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
