// SPDX-License-Identifier: GPL-2.0-only
/*
 * See model.h.
 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include <json-c/json.h>

#include "model.h"

static const struct model *const models[] = { &nvme_model, &virtio_net_model };

const struct model *model_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(models); i++)
		if (!strcmp(models[i]->name, name))
			return models[i];
	return NULL;
}

void put_number(struct json_object *out, const char *key, u64 value)
{
	json_object_object_add(out, key, json_object_new_uint64(value));
}

/* As a string: JSON has no such numbers, and people compare digests and features */
void put_hex(struct json_object *out, const char *key, u64 value)
{
	char text[24];

	snprintf(text, sizeof(text), "%#llx", value);
	json_object_object_add(out, key, json_object_new_string(text));
}

/* Text of a device, padded with blanks or zeroes */
void put_text(struct json_object *out, const char *key, const char *text, size_t length)
{
	char copy[64];

	if (length > sizeof(copy))
		length = sizeof(copy);
	memcpy(copy, text, length);
	while (length && (copy[length - 1] == ' ' || !copy[length - 1]))
		length--;
	for (size_t i = 0; i < length; i++)
		if (!isascii(copy[i]) || !isprint(copy[i]))
			copy[i] = '?';
	json_object_object_add(out, key, json_object_new_string_len(copy, length));
}

void put_bytes(struct json_object *out, const char *key, const u8 *bytes, size_t length)
{
	char text[2 * 64 + 1];

	for (size_t i = 0; i < length && i < 64; i++)
		snprintf(text + 2 * i, 3, "%02x", bytes[i]);
	json_object_object_add(out, key, json_object_new_string(text));
}
