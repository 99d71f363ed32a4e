/*
 * mime_sql.c
 *	  Messages: compose one from SQL, for tests and previews.
 */
#include "postgres.h"

#include "common/base64.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "clock.h"
#include "compat.h"
#include "mime.h"
#include "zone.h"

PG_FUNCTION_INFO_V1(mautomate_compose_mail);
PG_FUNCTION_INFO_V1(mautomate_mail_text);

static char			  *field(Jsonb *object, const char *name);
static JsonbContainer *container(Jsonb *object, const char *name);
static void			   read_headers(Jsonb *object, MaMail *mail);
static void			   read_files(Jsonb *object, MaMail *mail);
static void			   read_data(MaMailFile *file, const char *base64);

/*
 * SQL: compose a message of the fields of an object.
 */
Datum
mautomate_compose_mail(PG_FUNCTION_ARGS)
{
	Jsonb		  *object = PG_GETARG_JSONB_P(0);
	char		  *date = field(object, "date");
	char		  *zone = field(object, "zone");
	char		  *one_click = field(object, "one_click");
	MaMail		   mail = {{0}};
	StringInfoData out;

	mail.from.name = field(object, "from_name");
	mail.from.address = field(object, "from");
	mail.to.name = field(object, "to_name");
	mail.to.address = field(object, "to");
	mail.reply_to.name = field(object, "reply_to_name");
	mail.reply_to.address = field(object, "reply_to");
	mail.subject = field(object, "subject");
	mail.text = field(object, "text");
	mail.html = field(object, "html");
	mail.message_id = field(object, "message_id");
	mail.in_reply_to = field(object, "in_reply_to");
	mail.auto_submitted = field(object, "auto_submitted");
	mail.unsubscribe_url = field(object, "unsubscribe_url");
	mail.unsubscribe_mailto = field(object, "unsubscribe_mailto");
	mail.one_click = one_click && strcmp(one_click, "true") == 0;
	mail.list_id = field(object, "list_id");
	mail.list_name = field(object, "list_name");
	mail.feedback_id = field(object, "feedback_id");
	mail.date = ma_now();
	if (date)
		mail.date = DatumGetTimestampTz(DirectFunctionCall3(
			timestamptz_in, CStringGetDatum(date),
			ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
	mail.zone = zone ? ma_zone(zone) : session_timezone;
	read_headers(object, &mail);
	read_files(object, &mail);

	initStringInfo(&out);
	ma_mail_compose(&mail, &out);
	PG_RETURN_BYTEA_P(cstring_to_text_with_len(out.data, out.len));
}

/*
 * SQL: a readable text from HTML.
 */
Datum
mautomate_mail_text(PG_FUNCTION_ARGS)
{
	char *html = text_to_cstring(PG_GETARG_TEXT_PP(0));

	PG_RETURN_TEXT_P(cstring_to_text(ma_mail_text(html)));
}

/*
 * A field as text, NULL if it is not there.
 */
static char *
field(Jsonb *object, const char *name)
{
	LOCAL_FCINFO(fcinfo, 2);
	Datum result;

	InitFunctionCallInfoData(*fcinfo, NULL, 2, InvalidOid, NULL, NULL);
	fcinfo->args[0].value = JsonbPGetDatum(object);
	fcinfo->args[0].isnull = false;
	fcinfo->args[1].value = CStringGetTextDatum(name);
	fcinfo->args[1].isnull = false;
	result = jsonb_object_field_text(fcinfo);
	return fcinfo->isnull ? NULL : TextDatumGetCString(result);
}

/*
 * A field that is an array or an object, NULL if it is not.
 */
static JsonbContainer *
container(Jsonb *object, const char *name)
{
	JsonbValue value;

	if (!JB_ROOT_IS_OBJECT(object) ||
		getKeyJsonValueFromContainer(&object->root, name, strlen(name),
									 &value) == NULL ||
		value.type != jbvBinary)
		return NULL;
	return value.val.binary.data;
}

/*
 * Read the field headers: an object of name and value.
 */
static void
read_headers(Jsonb *object, MaMail *mail)
{
	JsonbContainer	  *all = container(object, "headers");
	JsonbIterator	  *iterator;
	JsonbIteratorToken token;
	MaMailHeader	  *headers;
	JsonbValue		   value;

	if (all == NULL)
		return;
	headers = palloc0((JsonContainerSize(all) + 1) * sizeof(MaMailHeader));
	iterator = JsonbIteratorInit(all);
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		char *text = NULL;

		if (value.type == jbvString &&
			(token == WJB_KEY || token == WJB_VALUE))
			text = pnstrdup(value.val.string.val, value.val.string.len);
		if (token == WJB_KEY)
			headers[mail->nheaders].name = text;
		else if (token == WJB_VALUE)
			headers[mail->nheaders++].value = text ? text : "";
	}
	mail->headers = headers;
}

/*
 * Read the field files: an array of objects, the data in base64.
 */
static void
read_files(Jsonb *object, MaMail *mail)
{
	JsonbContainer *all = container(object, "files");
	MaMailFile	   *files;

	if (all == NULL)
		return;
	files = palloc0((JsonContainerSize(all) + 1) * sizeof(MaMailFile));
	for (uint32 i = 0; i < JsonContainerSize(all); i++)
	{
		JsonbValue *value = getIthJsonbValueFromContainer(all, i);
		MaMailFile *file = &files[mail->nfiles];
		Jsonb	   *fields;
		char	   *data;

		if (value == NULL || value->type != jbvBinary)
			continue;
		fields = JsonbValueToJsonb(value);
		file->name = field(fields, "name");
		file->type = field(fields, "type");
		file->content_id = field(fields, "content_id");
		data = field(fields, "data");
		read_data(file, data ? data : "");
		mail->nfiles++;
	}
	mail->files = files;
}

/*
 * Decode the data of a file.
 */
static void
read_data(MaMailFile *file, const char *base64)
{
	int	  len = strlen(base64);
	int	  room = pg_b64_dec_len(len) + 1;
	char *data = palloc(room);

	file->length = pg_b64_decode(base64, len, (void *) data, room);
	if (file->length < 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("invalid base64 in the data of a file")));
	file->data = data;
}
