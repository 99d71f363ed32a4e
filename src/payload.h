/*
 * payload.h
 *	  JSON whose texts are Liquid.
 */
#ifndef MA_PAYLOAD_H
#define MA_PAYLOAD_H

#include "template.h"

typedef struct MaPayload MaPayload;

/* In the current context, for as long as it lives. */
extern MaPayload *ma_payload_parse(Jsonb *source);

/* palloc'd; strict: an unknown variable is an error (42703). */
extern Jsonb *ma_payload_render(const MaPayload *payload, Jsonb *data,
								const MaTemplateOptions *options);

#endif /* MA_PAYLOAD_H */
