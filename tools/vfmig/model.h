/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The device models that are known here: what is in the model's part of an identity, and in
 * the state.
 */
#ifndef VFMIGCTL_MODEL_H
#define VFMIGCTL_MODEL_H

#include "stream.h"

struct json_object;

/**
 * struct model - a device model
 * @name: as in an identity
 * @versions: versions of the model that are taken, from the first to the second
 * @state_max: bytes that a state has at most
 * @identity_check: NULL, or what is wrong with the model's part of an identity
 * @like_check: NULL, or why a device that is like @own does not take one like @id; both are valid
 * @state_check: NULL, or what is wrong with the state, and at which byte of it
 * @describe_identity: adds what is in the model's part, which is valid
 * @describe_state: adds what is in the state, which is valid
 */
struct model {
	const char *name;
	u32 versions[2];
	size_t state_max;
	const char *(*identity_check)(const struct stream_identity *id);
	const char *(*like_check)(const struct stream_identity *id,
				  const struct stream_identity *own);
	const char *(*state_check)(const struct stream_identity *id, const u8 *state,
				   size_t length, size_t *where);
	void (*describe_identity)(const struct stream_identity *id, struct json_object *out);
	void (*describe_state)(const u8 *state, size_t length, struct json_object *out);
};

extern const struct model nvme_model;
extern const struct model virtio_net_model;

/* NULL if it is not known */
const struct model *model_find(const char *name);

/* Add to a JSON object */
void put_number(struct json_object *out, const char *key, u64 value);
void put_hex(struct json_object *out, const char *key, u64 value);
void put_text(struct json_object *out, const char *key, const char *text, size_t length);
void put_bytes(struct json_object *out, const char *key, const u8 *bytes, size_t length);

#endif /* VFMIGCTL_MODEL_H */
