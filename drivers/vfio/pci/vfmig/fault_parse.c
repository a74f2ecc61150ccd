// SPDX-License-Identifier: GPL-2.0-only
/*
 * Reads the line of a fault.  A line is trusted as far as root is: it can ask for anything that
 * the words allow, and is refused with the name of the word that is wrong.
 */
#include <linux/ctype.h>
#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/kstrtox.h>
#include <linux/limits.h>
#include <linux/string.h>

#include "device.h"
#include "fault_list.h"

/* What stands behind the "=" of a word */
enum vfmig_fault_arg {
	VFMIG_ARG_NONE,
	VFMIG_ARG_ERRNO,
	VFMIG_ARG_MAY_ERRNO,	/* EINVAL if it is left out */
	VFMIG_ARG_NUMBER,
	VFMIG_ARG_BYTES,
	VFMIG_ARG_PERCENT,
	VFMIG_ARG_RECORD,	/* a number, "first" or "last" */
};

/* What a word is for */
enum vfmig_fault_role {
	VFMIG_ROLE_ACTION,	/* @detail is an enum vfmig_fault_action */
	VFMIG_ROLE_PLACE,	/* @detail is an enum vfmig_fault_place */
	VFMIG_ROLE_WHEN,	/* @detail is an enum vfmig_fault_when */
	VFMIG_ROLE_SEED,
};

/**
 * struct vfmig_fault_word - a word of a line
 * @name: as written
 * @points: where it may be used, a bit for each point
 * @role: what it is for
 * @detail: more of that
 * @arg: what it takes
 * @min: least value
 * @max: greatest value
 */
struct vfmig_fault_word {
	const char *name;
	unsigned long points;
	enum vfmig_fault_role role;
	unsigned int detail;
	enum vfmig_fault_arg arg;
	u64 min;
	u64 max;
};

#define AT(point)	BIT(VFMIG_FAULT_##point)
#define ANYWHERE	(BIT(VFMIG_FAULT_POINTS) - 1)
#define FD		(AT(READ) | AT(WRITE))
#define MS_MAX		60000

#define ACTION(_name, _points, _action, _arg, _min, _max) {		\
	.name = (_name), .points = (_points), .role = VFMIG_ROLE_ACTION, \
	.detail = VFMIG_FAULT_##_action, .arg = VFMIG_ARG_##_arg,	\
	.min = (_min), .max = (_max),					\
}

#define WHEN(_name, _when, _arg, _min, _max) {				\
	.name = (_name), .points = ANYWHERE, .role = VFMIG_ROLE_WHEN,	\
	.detail = VFMIG_FAULT_##_when, .arg = VFMIG_ARG_##_arg,	\
	.min = (_min), .max = (_max),					\
}

static const struct vfmig_fault_word vfmig_fault_words[] = {
	ACTION("errno", ANYWHERE, ERRNO, ERRNO, 0, 0),
	ACTION("error", AT(ARC), ERROR, NONE, 0, 0),
	ACTION("delay", AT(ARC), DELAY, NUMBER, 1, MS_MAX),
	ACTION("reset", AT(ARC), RESET, NONE, 0, 0),
	ACTION("rate", FD, RATE, BYTES, 1, U64_MAX),
	ACTION("stall", FD, STALL, NUMBER, 1, MS_MAX),
	ACTION("end", AT(READ), END, NONE, 0, 0),
	ACTION("short", FD, SHORT, BYTES, 1, U64_MAX),
	ACTION("flip", AT(READ), FLIP, NUMBER, 0, 7),
	ACTION("refuse", AT(WRITE), REFUSE, MAY_ERRNO, 0, 0),
	ACTION("initial", AT(PRECOPY), INITIAL, BYTES, 0, U64_MAX),
	ACTION("dirty", AT(PRECOPY), DIRTY, BYTES, 0, U64_MAX),
	ACTION("stuck", AT(PRECOPY), STUCK, NONE, 0, 0),
	ACTION("jump", AT(PRECOPY), JUMP, BYTES, 1, U64_MAX),
	ACTION("grow", AT(PRECOPY), GROW, BYTES, 1, U64_MAX),
	ACTION("reinit", AT(PRECOPY), REINIT, NONE, 0, 0),
	ACTION("set", AT(SIZE), SET, BYTES, 0, U64_MAX),
	ACTION("multiply", AT(SIZE), MULTIPLY, NUMBER, 2, U64_MAX),
	ACTION("divide", AT(SIZE), DIVIDE, NUMBER, 2, U64_MAX),
	ACTION("all", AT(LOG_REPORT), ALL, NONE, 0, 0),
	ACTION("forget", AT(LOG_REPORT), FORGET, PERCENT, 1, 100),
	{ .name = "at", .points = FD, .role = VFMIG_ROLE_PLACE, .detail = VFMIG_FAULT_AT,
	  .arg = VFMIG_ARG_BYTES, .max = U64_MAX },
	{ .name = "record", .points = FD, .role = VFMIG_ROLE_PLACE, .detail = VFMIG_FAULT_RECORD,
	  .arg = VFMIG_ARG_RECORD, .min = 1, .max = U64_MAX },
	WHEN("always", ALWAYS, NONE, 0, 0),
	WHEN("once", TIMES, NONE, 0, 0),
	WHEN("times", TIMES, NUMBER, 1, U64_MAX),
	WHEN("nth", NTH, NUMBER, 1, U64_MAX),
	WHEN("probability", PROBABLY, PERCENT, 1, 100),
	{ .name = "seed", .points = ANYWHERE, .role = VFMIG_ROLE_SEED, .arg = VFMIG_ARG_NUMBER,
	  .max = U64_MAX },
};

static const char * const vfmig_fault_points[VFMIG_FAULT_POINTS] = {
	[VFMIG_FAULT_ARC] = "arc",
	[VFMIG_FAULT_READ] = "read",
	[VFMIG_FAULT_WRITE] = "write",
	[VFMIG_FAULT_PRECOPY] = "precopy",
	[VFMIG_FAULT_SIZE] = "data-size",
	[VFMIG_FAULT_LOG_START] = "log-start",
	[VFMIG_FAULT_LOG_REPORT] = "log-report",
};

#define ERRNO(name)	{ #name, name }

static const struct {
	const char *name;
	int value;
} vfmig_errnos[] = {
	ERRNO(EPERM), ERRNO(ENOENT), ERRNO(EINTR), ERRNO(EIO), ERRNO(ENXIO), ERRNO(E2BIG),
	ERRNO(EBADF), ERRNO(EAGAIN), ERRNO(ENOMEM), ERRNO(EACCES), ERRNO(EFAULT), ERRNO(EBUSY),
	ERRNO(EEXIST), ERRNO(ENODEV), ERRNO(EINVAL), ERRNO(ENFILE), ERRNO(EMFILE), ERRNO(ENOTTY),
	ERRNO(EFBIG), ERRNO(ENOSPC), ERRNO(EROFS), ERRNO(EPIPE), ERRNO(ERANGE), ERRNO(EDEADLK),
	ERRNO(ENOMSG), ERRNO(ENODATA), ERRNO(ETIME), ERRNO(EREMOTEIO),
	ERRNO(EPROTO), ERRNO(EBADMSG), ERRNO(EOVERFLOW), ERRNO(EILSEQ), ERRNO(EMSGSIZE),
	ERRNO(EOPNOTSUPP), ERRNO(ENETDOWN), ERRNO(ECONNABORTED), ERRNO(ECONNRESET),
	ERRNO(ENOBUFS), ERRNO(ENOTCONN), ERRNO(ESHUTDOWN), ERRNO(ETIMEDOUT),
	ERRNO(ECONNREFUSED), ERRNO(EHOSTDOWN), ERRNO(EALREADY), ERRNO(EINPROGRESS),
	ERRNO(ESTALE), ERRNO(ECANCELED), ERRNO(ENOTRECOVERABLE), ERRNO(EHWPOISON),
};

#define TO(state)	BIT(VFIO_DEVICE_STATE_##state)

/* Where an arc can lead from each state */
static const unsigned long vfmig_arcs[] = {
	[VFIO_DEVICE_STATE_ERROR] = 0,
	[VFIO_DEVICE_STATE_STOP] = TO(RUNNING) | TO(RUNNING_P2P) | TO(STOP_COPY) | TO(RESUMING),
	[VFIO_DEVICE_STATE_RUNNING] = TO(RUNNING_P2P) | TO(STOP) | TO(PRE_COPY),
	[VFIO_DEVICE_STATE_STOP_COPY] = TO(STOP),
	[VFIO_DEVICE_STATE_RESUMING] = TO(STOP),
	[VFIO_DEVICE_STATE_RUNNING_P2P] = TO(RUNNING) | TO(STOP) | TO(PRE_COPY_P2P),
	[VFIO_DEVICE_STATE_PRE_COPY] = TO(RUNNING) | TO(PRE_COPY_P2P) | TO(STOP_COPY),
	[VFIO_DEVICE_STATE_PRE_COPY_P2P] = TO(PRE_COPY) | TO(RUNNING_P2P) | TO(STOP_COPY),
};

/* Where a refusal is told */
struct vfmig_fault_why {
	char *text;
	size_t size;
};

static int __printf(2, 3) vfmig_fault_refuse(const struct vfmig_fault_why *why,
					     const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(why->text, why->size, fmt, args);
	va_end(args);
	return -EINVAL;
}

/* A number; one of @bytes may have a suffix */
int vfmig_fault_parse_u64(const char *text, bool bytes, u64 *value)
{
	static const char suffixes[] = "KMGT";
	char digits[24];
	unsigned int shift = 0;
	const char *suffix;
	size_t len;

	/* kstrtoull() would take a sign and a newline */
	if (!isdigit(*text) || strscpy(digits, text, sizeof(digits)) < 0)
		return -EINVAL;
	len = strlen(digits);
	suffix = bytes ? strchr(suffixes, digits[len - 1]) : NULL;
	if (suffix) {
		shift = 10 * (suffix - suffixes + 1);
		digits[len - 1] = 0;
	}
	if (kstrtoull(digits, strncmp(digits, "0x", 2) ? 10 : 16, value) ||
	    *value > U64_MAX >> shift)
		return -EINVAL;
	*value <<= shift;
	return 0;
}

static int vfmig_parse_errno(const char *text, u64 *value)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(vfmig_errnos); i++) {
		if (!strcmp(vfmig_errnos[i].name, text)) {
			*value = vfmig_errnos[i].value;
			return 0;
		}
	}
	return -EINVAL;
}

/* No stream has so many records */
#define LAST_RECORD	U64_MAX

/* Takes a value to pieces that stands behind the "=" of a word.  @text is changed. */
static int vfmig_parse_arg(const struct vfmig_fault_word *word, char *text, u64 *value,
			   const struct vfmig_fault_why *why)
{
	size_t len = strlen(text);

	if (word->arg == VFMIG_ARG_ERRNO || word->arg == VFMIG_ARG_MAY_ERRNO)
		return vfmig_parse_errno(text, value) ?
		       vfmig_fault_refuse(why, "\"%s\" of \"%s\" is not an errno", text,
					  word->name) : 0;
	if (word->arg == VFMIG_ARG_RECORD && !strcmp(text, "last")) {
		*value = LAST_RECORD;
		return 0;
	}
	if (word->arg == VFMIG_ARG_RECORD && !strcmp(text, "first")) {
		*value = 1;
		return 0;
	}
	if (word->arg == VFMIG_ARG_PERCENT && len > 1 && text[len - 1] == '%')
		text[len - 1] = 0;
	if (vfmig_fault_parse_u64(text, word->arg == VFMIG_ARG_BYTES, value))
		return vfmig_fault_refuse(why, "\"%s\" of \"%s\" is not a number%s", text,
					  word->name,
					  word->arg == VFMIG_ARG_BYTES ? " of bytes" : "");
	if (*value < word->min || *value > word->max)
		return vfmig_fault_refuse(why, "\"%s\" of \"%s\" is not from %llu to %llu", text,
					  word->name, word->min, word->max);
	return 0;
}

static const struct vfmig_fault_word *vfmig_find_word(const char *name)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(vfmig_fault_words); i++)
		if (!strcmp(vfmig_fault_words[i].name, name))
			return &vfmig_fault_words[i];
	return NULL;
}

/* May @word be used, after those before it? */
static int vfmig_check_word(const struct vfmig_fault *fault, const struct vfmig_fault_word *word,
			    const struct vfmig_fault_why *why)
{
	if (!(word->points & BIT(fault->point)))
		return vfmig_fault_refuse(why, "\"%s\" does not go with \"%s\"", word->name,
					  vfmig_fault_points[fault->point]);
	for (unsigned int i = 0; i < ARRAY_SIZE(vfmig_fault_words); i++) {
		const struct vfmig_fault_word *other = &vfmig_fault_words[i];

		if (fault->given & BIT(i) && other->role == word->role)
			return vfmig_fault_refuse(why, "\"%s\" comes after \"%s\": one of them",
						  word->name, other->name);
	}
	return 0;
}

static void vfmig_take_word(struct vfmig_fault *fault, const struct vfmig_fault_word *word,
			    u64 value)
{
	fault->given |= BIT(word - vfmig_fault_words);
	switch (word->role) {
	case VFMIG_ROLE_ACTION:
		fault->action = word->detail;
		fault->value = value;
		break;
	case VFMIG_ROLE_PLACE:
		fault->place = word->arg == VFMIG_ARG_RECORD && value == LAST_RECORD ?
			       VFMIG_FAULT_LAST : word->detail;
		fault->at = value;
		break;
	case VFMIG_ROLE_WHEN:
		fault->when = word->detail;
		fault->count = word->arg == VFMIG_ARG_NONE ? 1 : value;
		break;
	case VFMIG_ROLE_SEED:
		fault->seed = value;
		break;
	}
}

/* A word behind the point, which is changed */
static int vfmig_parse_word(struct vfmig_fault *fault, char *text,
			    const struct vfmig_fault_why *why)
{
	const struct vfmig_fault_word *word;
	char *arg = strchr(text, '=');
	u64 value = 0;
	int ret;

	if (arg)
		*arg++ = 0;
	word = vfmig_find_word(text);
	if (!word)
		return vfmig_fault_refuse(why, "\"%s\" is not a word that is known", text);
	ret = vfmig_check_word(fault, word, why);
	if (ret)
		return ret;
	if (!arg && word->arg == VFMIG_ARG_MAY_ERRNO)
		value = EINVAL;
	else if (!arg && word->arg != VFMIG_ARG_NONE)
		return vfmig_fault_refuse(why, "\"%s\" needs a value: %s=...", text, text);
	if (arg && word->arg == VFMIG_ARG_NONE)
		return vfmig_fault_refuse(why, "\"%s\" takes no value", text);
	if (arg)
		ret = vfmig_parse_arg(word, arg, &value, why);
	if (!ret)
		vfmig_take_word(fault, word, value);
	return ret;
}

static int vfmig_parse_state(const char *name, u32 *state, const struct vfmig_fault_why *why)
{
	int i;

	if (!strcmp(name, "*")) {
		*state = VFMIG_FAULT_ANY_STATE;
		return 0;
	}
	i = match_string(vfmig_state_names, ARRAY_SIZE(vfmig_state_names), name);
	if (i < 0)
		return vfmig_fault_refuse(why, "\"%s\" is not a state", name);
	*state = i;
	return 0;
}

static bool vfmig_is_arc(u32 from, u32 to)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(vfmig_arcs); i++) {
		unsigned long next = vfmig_arcs[i];

		if (from != VFMIG_FAULT_ANY_STATE && from != i)
			continue;
		if (to == VFMIG_FAULT_ANY_STATE ? next : next & BIT(to))
			return true;
	}
	return false;
}

/* FROM->TO or FROM:TO, in a copy as the refusal needs it whole */
static int vfmig_parse_arc(struct vfmig_fault *fault, const char *text,
			   const struct vfmig_fault_why *why)
{
	char from[VFMIG_FAULT_LINE], *to;
	int ret;

	strscpy(from, text, sizeof(from));
	to = strstr(from, "->");
	if (to) {
		*to = 0;
		to += 2;
	} else {
		to = strchr(from, ':');
		if (!to)
			return vfmig_fault_refuse(why, "\"%s\" is not FROM->TO", text);
		*to++ = 0;
	}
	ret = vfmig_parse_state(from, &fault->from, why) ?:
	      vfmig_parse_state(to, &fault->to, why);
	if (ret)
		return ret;
	if (!vfmig_is_arc(fault->from, fault->to))
		return vfmig_fault_refuse(why, "\"%s\" is not an arc between neighbours", text);
	return 0;
}

/* @line has single blanks */
static int vfmig_parse_point(struct vfmig_fault *fault, char **line,
			     const struct vfmig_fault_why *why)
{
	char *word = strsep(line, " ");
	int point;

	point = match_string(vfmig_fault_points, ARRAY_SIZE(vfmig_fault_points), word);
	if (point < 0)
		return vfmig_fault_refuse(why, "\"%s\" is not a point where a fault can be", word);
	fault->point = point;
	if (point != VFMIG_FAULT_ARC)
		return 0;
	word = strsep(line, " ");
	if (!word)
		return vfmig_fault_refuse(why, "\"arc\" needs FROM->TO");
	return vfmig_parse_arc(fault, word, why);
}

/* Was a word of this role given? */
static bool vfmig_given(const struct vfmig_fault *fault, enum vfmig_fault_role role)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(vfmig_fault_words); i++)
		if (fault->given & BIT(i) && vfmig_fault_words[i].role == role)
			return true;
	return false;
}

/* Which words go with an action on a data fd */
static int vfmig_check_fd_fault(const struct vfmig_fault *fault, const struct vfmig_fault_why *why)
{
	switch (fault->action) {
	case VFMIG_FAULT_RATE:
		if (vfmig_given(fault, VFMIG_ROLE_WHEN))
			return vfmig_fault_refuse(why, "\"rate\" is always");
		fallthrough;
	case VFMIG_FAULT_SHORT:
		if (fault->place != VFMIG_FAULT_NOWHERE)
			return vfmig_fault_refuse(why, "\"%s\" goes with no place",
						  fault->action == VFMIG_FAULT_RATE ? "rate" :
										      "short");
		return 0;
	case VFMIG_FAULT_FLIP:
		if (fault->place != VFMIG_FAULT_AT)
			return vfmig_fault_refuse(why, "\"flip\" without \"at\"");
		return 0;
	case VFMIG_FAULT_REFUSE:
		if (fault->place == VFMIG_FAULT_NOWHERE)
			return vfmig_fault_refuse(why, "\"refuse\" without \"at\" or \"record\"");
		if (fault->value == EAGAIN)
			return vfmig_fault_refuse(why, "\"EAGAIN\" of \"refuse\" is no refusal");
		return 0;
	case VFMIG_FAULT_ERRNO:
		if (fault->point == VFMIG_FAULT_WRITE && fault->place > VFMIG_FAULT_AT)
			return vfmig_fault_refuse(why,
						  "\"errno\" with \"record\": say \"refuse\"");
		return 0;
	default:
		return 0;
	}
}

/* What no single word shows */
static int vfmig_check_fault(const struct vfmig_fault *fault, const struct vfmig_fault_why *why)
{
	if (fault->action == VFMIG_FAULT_NONE)
		return vfmig_fault_refuse(why, "\"%s\" without an action", fault->text);
	if (vfmig_given(fault, VFMIG_ROLE_SEED) && fault->when != VFMIG_FAULT_PROBABLY &&
	    fault->action != VFMIG_FAULT_FORGET)
		return vfmig_fault_refuse(why, "\"seed\" without \"probability\" or \"forget\"");
	return BIT(fault->point) & FD ? vfmig_check_fd_fault(fault, why) : 0;
}

/* Copies @line with single blanks */
static int vfmig_copy_line(struct vfmig_fault *fault, const char *line,
			   const struct vfmig_fault_why *why)
{
	size_t len = 0;

	for (; *line; line++) {
		char c = isspace(*line) ? ' ' : *line;

		if (c == ' ' && len && fault->text[len - 1] == ' ')
			continue;
		if (c < ' ' || c > '~')
			return vfmig_fault_refuse(why, "byte %#x in the line", (u8)c);
		if (len == sizeof(fault->text) - 1)
			return vfmig_fault_refuse(why, "more than %zu bytes in the line", len);
		fault->text[len++] = c;
	}
	return 0;
}

/*
 * Fills in @fault, which is zeroed, from @line, which is neither empty nor begins or ends with a
 * blank.  Returns -EINVAL with the reason in @text of @size bytes.
 */
int vfmig_fault_parse(struct vfmig_fault *fault, const char *line, char *text, size_t size)
{
	const struct vfmig_fault_why why = { .text = text, .size = size };
	char words[VFMIG_FAULT_LINE];
	char *rest = words, *word;
	int ret;

	ret = vfmig_copy_line(fault, line, &why);
	if (ret)
		return ret;
	strscpy(words, fault->text, sizeof(words));
	ret = vfmig_parse_point(fault, &rest, &why);
	while (!ret) {
		word = strsep(&rest, " ");
		if (!word)
			return vfmig_check_fault(fault, &why);
		ret = vfmig_parse_word(fault, word, &why);
	}
	return ret;
}
