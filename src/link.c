/*
 * link.c
 *	  Where the links of a message lead: links.x of its template.
 */
#include "postgres.h"

#include "utils/fmgrprotos.h"

#include "json.h"
#include "link.h"
#include "token.h"

/*
 * Adds links to the data of a message and tells them; with message 0 they
 * look right, and lead nowhere.
 */
Jsonb *
ma_link_add(const MaChannel *channel, int64 message_id,
			TimestampTz enqueued_at, Jsonb *data, MaLinks *links)
{
	JsonbParseState *state = NULL;
	int				 length;
	JsonbValue		*added;

	memset(links, 0, sizeof(MaLinks));
	if (channel->links == NULL)
		return data;
	length = strlen(channel->links);
	while (length > 0 && channel->links[length - 1] == '/')
		length--;
	links->unsubscribe =
		psprintf("%.*s/unsubscribe/%s", length, channel->links,
				 ma_token_make(MA_TOKEN_UNSUBSCRIBE, message_id, enqueued_at));
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	ma_json_key(&state, "links");
	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	ma_json_text(&state, "unsubscribe", links->unsubscribe);
	pushJsonbValue(&state, WJB_END_OBJECT, NULL);
	added = pushJsonbValue(&state, WJB_END_OBJECT, NULL);
	return DatumGetJsonbP(
		DirectFunctionCall2(jsonb_concat, JsonbPGetDatum(data),
							JsonbPGetDatum(JsonbValueToJsonb(added))));
}
