/* SPDX-License-Identifier: GPL-2.0-only */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM vfmig

#if !defined(_VFMIG_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define _VFMIG_TRACE_H

#include <linux/tracepoint.h>
#include <linux/vfio.h>

TRACE_DEFINE_ENUM(VFIO_DEVICE_STATE_ERROR);
TRACE_DEFINE_ENUM(VFIO_DEVICE_STATE_STOP);
TRACE_DEFINE_ENUM(VFIO_DEVICE_STATE_RUNNING);
TRACE_DEFINE_ENUM(VFIO_DEVICE_STATE_STOP_COPY);
TRACE_DEFINE_ENUM(VFIO_DEVICE_STATE_RESUMING);
TRACE_DEFINE_ENUM(VFIO_DEVICE_STATE_RUNNING_P2P);
TRACE_DEFINE_ENUM(VFIO_DEVICE_STATE_PRE_COPY);
TRACE_DEFINE_ENUM(VFIO_DEVICE_STATE_PRE_COPY_P2P);

#define vfmig_show_state(state)						\
	__print_symbolic(state,						\
			 { VFIO_DEVICE_STATE_ERROR,	   "ERROR" },	\
			 { VFIO_DEVICE_STATE_STOP,	   "STOP" },	\
			 { VFIO_DEVICE_STATE_RUNNING,	   "RUNNING" },	\
			 { VFIO_DEVICE_STATE_STOP_COPY,	   "STOP_COPY" }, \
			 { VFIO_DEVICE_STATE_RESUMING,	   "RESUMING" }, \
			 { VFIO_DEVICE_STATE_RUNNING_P2P,  "RUNNING_P2P" }, \
			 { VFIO_DEVICE_STATE_PRE_COPY,	   "PRE_COPY" }, \
			 { VFIO_DEVICE_STATE_PRE_COPY_P2P, "PRE_COPY_P2P" })

/* One arc of the state machine, and its result */
TRACE_EVENT(vfmig_arc,
	TP_PROTO(struct device *dev, enum vfio_device_mig_state from,
		 enum vfio_device_mig_state to, int ret),
	TP_ARGS(dev, from, to, ret),
	TP_STRUCT__entry(
		__string(dev, dev_name(dev))
		__field(u32, from)
		__field(u32, to)
		__field(int, ret)
	),
	TP_fast_assign(
		__assign_str(dev);
		__entry->from = from;
		__entry->to = to;
		__entry->ret = ret;
	),
	TP_printk("%s %s -> %s: %d", __get_str(dev), vfmig_show_state(__entry->from),
		  vfmig_show_state(__entry->to), __entry->ret)
);

/* The VF was reset and runs; from is the state before the reset */
TRACE_EVENT(vfmig_reset,
	TP_PROTO(struct device *dev, enum vfio_device_mig_state from),
	TP_ARGS(dev, from),
	TP_STRUCT__entry(
		__string(dev, dev_name(dev))
		__field(u32, from)
	),
	TP_fast_assign(
		__assign_str(dev);
		__entry->from = from;
	),
	TP_printk("%s from %s", __get_str(dev), vfmig_show_state(__entry->from))
);

#define vfmig_show_record(type)						\
	__print_symbolic(type,						\
			 { VFMIG_RECORD_IDENTITY,	"IDENTITY" },	\
			 { VFMIG_RECORD_MEMORY,		"MEMORY" },	\
			 { VFMIG_RECORD_HOLE,		"HOLE" },	\
			 { VFMIG_RECORD_STATE,		"STATE" },	\
			 { VFMIG_RECORD_END,		"END" })

DECLARE_EVENT_CLASS(vfmig_record,
	TP_PROTO(struct device *dev, u32 type, u64 offset, u64 length),
	TP_ARGS(dev, type, offset, length),
	TP_STRUCT__entry(
		__string(dev, dev_name(dev))
		__field(u32, type)
		__field(u64, offset)
		__field(u64, length)
	),
	TP_fast_assign(
		__assign_str(dev);
		__entry->type = type;
		__entry->offset = offset;
		__entry->length = length;
	),
	TP_printk("%s %s offset %#llx length %#llx", __get_str(dev),
		  vfmig_show_record(__entry->type), __entry->offset, __entry->length)
);

/* A record begins; offset is that of its memory, if any, length that of its payload */
DEFINE_EVENT(vfmig_record, vfmig_save_record,
	TP_PROTO(struct device *dev, u32 type, u64 offset, u64 length),
	TP_ARGS(dev, type, offset, length)
);

/* The header of a record was written and is valid */
DEFINE_EVENT(vfmig_record, vfmig_load_record,
	TP_PROTO(struct device *dev, u32 type, u64 offset, u64 length),
	TP_ARGS(dev, type, offset, length)
);

/* Something was done on purpose, because of fault number id (fault.h) */
TRACE_EVENT(vfmig_fault,
	TP_PROTO(const char *dev, unsigned int id, const char *line),
	TP_ARGS(dev, id, line),
	TP_STRUCT__entry(
		__string(dev, dev)
		__field(unsigned int, id)
		__string(line, line)
	),
	TP_fast_assign(
		__assign_str(dev);
		__entry->id = id;
		__assign_str(line);
	),
	TP_printk("%s %u: %s", __get_str(dev), __entry->id, __get_str(line))
);

#endif /* _VFMIG_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
