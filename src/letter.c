/*
 * letter.c
 *	  A claimed message, ready to be sent or refused.
 *
 * For a set of messages of one channel: loads what is known, asks the gate,
 * renders the template and composes what goes over the wire. An error while
 * rendering one message is that message's failure and nobody else's, so each
 * is rendered in a subtransaction.
 */
#include "postgres.h"

#include <ctype.h>

#include "access/xact.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "address.h"
#include "arm.h"
#include "clock.h"
#include "contact_object.h"
#include "gate.h"
#include "letter.h"
#include "letter_request.h"
#include "link.h"
#include "mime.h"
#include "outbox.h"
#include "table.h"
#include "template_store.h"

/* A message as it was loaded. */
typedef struct Draft
{
	MaLetter   *letter;
	int			template_id;
	int			version;
	TimestampTz enqueued_at;
	bool		recorded; /* has it a lasting record? */
	MaRecipient recipient;
	char	   *name; /* of the person */
	Jsonb	   *data; /* contact, context, entry, event, links */
	MaLinks		links;
} Draft;

static Draft *load(const MaChannel *channel, const MaClaim *claims, int *n);
static void	  judge(Draft *draft);
static char	 *normal_address(const MaRecipient *recipient);
static bool	  is_allowed(const MaArm *arm, const char *address);
static bool	  is_like(const char *kind, const char *address);
static void	  render(const MaChannel *channel, Draft *draft);
static void	  compose(const MaChannel *channel, const Draft *draft,
					  const MaRendered *said);
static void	  request(const MaChannel *channel, const Draft *draft,
					  const MaRendered *said);
static char	 *unique_key(const Draft *draft);

/*
 * Writes the letters of n claimed messages of a channel, in the current
 * context; stores how many there are. Needs a transaction, which renames
 * wait for.
 */
MaLetter *
ma_letter_write(int channel_id, const MaClaim *claims, int *n)
{
	MemoryContext cxt = CurrentMemoryContext;
	MemoryContext scratch =
		AllocSetContextCreate(cxt, "mautomate drafts", ALLOCSET_DEFAULT_SIZES);
	const MaChannel *channel;
	MaLetter		*letters;
	Draft			*drafts;

	ma_template_lock_names();
	channel = ma_channel_find(channel_id);
	MemoryContextSwitchTo(scratch);
	drafts = load(channel, claims, n);
	letters = MemoryContextAllocZero(cxt, (*n + 1) * sizeof(MaLetter));
	MemoryContextSwitchTo(cxt);
	for (int i = 0; i < *n; i++)
	{
		bool goes_on = i == 0 || letters[i - 1].cancel == NULL;

		letters[i] = *drafts[i].letter;
		drafts[i].letter = &letters[i];
		if (goes_on)
			judge(&drafts[i]);
		else
			letters[i].cancel = letters[i - 1].cancel;
		if (goes_on && letters[i].refusal == NULL)
			render(channel, &drafts[i]);
	}
	MemoryContextDelete(scratch);
	return letters;
}

/* Finds a person, or who took over what he had. */
static bool
find_contact(MaTable *contacts, int64 contact_id)
{
	ScanKeyData key;
	int64		heir;

	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_INT8EQ,
				Int64GetDatum(contact_id));
	if (!ma_table_find(contacts, &key, 1))
		return false;
	heir = ma_contact_merged_into(contacts->slot);
	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(heir));
	return heir == 0 || ma_table_find(contacts, &key, 1);
}

/* Why nothing is sent to an address; NULL: something may be. */
static char *
suppressed(MaTable *suppressions, const char *address)
{
	ScanKeyData key;
	bool		isnull;

	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_BYTEAEQ,
				PointerGetDatum(ma_address_hash(address)));
	if (!ma_table_find(suppressions, &key, 1))
		return NULL;
	return TextDatumGetCString(slot_getattr(suppressions->slot, 2, &isnull));
}

/* Loads what is known of who gets each message, into the current context. */
static void
load_people(const MaChannel *channel, const MaMessage *messages, Draft *drafts,
			int n)
{
	static MaWatch people = {.relation = "contact", .schema = "mautomate"};
	static MaWatch refused = {"suppression"};
	MaTable		   contacts;
	MaTable		   suppressions;

	ma_table_open_to_read(&contacts, &people);
	ma_table_open_to_read(&suppressions, &refused);
	ma_table_push_snapshot();
	for (int i = 0; i < n; i++)
	{
		MaRecipient	   *recipient = &drafts[i].recipient;
		TupleTableSlot *person = NULL;

		if (find_contact(&contacts, messages[i].contact_id))
		{
			person = contacts.slot;
			recipient->exists = true;
			recipient->address =
				ma_contact_address(person, channel->recipient);
			drafts[i].name = ma_contact_name(person);
		}
		recipient->kind = channel->recipient;
		if (recipient->address != NULL)
			recipient->suppressed =
				suppressed(&suppressions, recipient->address);
		drafts[i].data = ma_contact_data(messages[i].data, person);
	}
	PopActiveSnapshot();
	ma_table_close(&suppressions);
	ma_table_close(&contacts);
}

/* Loads the messages into the current context. */
static Draft *
load(const MaChannel *channel, const MaClaim *claims, int *n)
{
	MaMessage *messages = palloc((*n + 1) * sizeof(MaMessage));
	Draft	  *drafts;

	*n = ma_outbox_read(channel->channel_id, claims, *n, messages);
	drafts = palloc0((*n + 1) * sizeof(Draft));
	for (int i = 0; i < *n; i++)
	{
		const MaMessage *message = &messages[i];
		MaLetter		*letter = palloc0(sizeof(MaLetter));

		letter->message_id = message->claim.message_id;
		letter->priority = message->claim.priority;
		letter->attempt = message->attempt;
		letter->first_tried_at = message->first_tried_at;
		drafts[i].letter = letter;
		drafts[i].template_id = message->template_id;
		drafts[i].version = message->version;
		drafts[i].enqueued_at = message->enqueued_at;
		drafts[i].recorded = message->recorded;
	}
	load_people(channel, messages, drafts, *n);
	return drafts;
}

/* Asks the gate, and where arm() lets the message go. */
static void
judge(Draft *draft)
{
	MaLetter	*letter = draft->letter;
	const MaArm *arm = ma_arm();
	const char	*refusal = ma_gate_refusal(&draft->recipient);

	if (!draft->recorded)
		refusal = "the record of the message is gone";
	if (refusal == NULL)
		letter->address = normal_address(&draft->recipient);
	if (refusal == NULL && !is_allowed(arm, letter->address))
		refusal = "armed for other addresses only";
	if (refusal == NULL && arm->redirect != NULL)
	{
		if (!is_like(draft->recipient.kind, arm->redirect))
			refusal = "redirected to an address that the channel cannot reach";
		letter->address = pstrdup(arm->redirect);
	}
	if (refusal != NULL)
	{
		letter->refusal = pstrdup(refusal);
		letter->address = NULL;
	}
}

/* The one spelling of an address that the gate found good; NULL: none. */
static char *
normal_address(const MaRecipient *recipient)
{
	if (strcmp(recipient->kind, "email") == 0)
		return ma_address_normalise(recipient->address, NULL);
	if (strcmp(recipient->kind, "phone") == 0)
		return ma_phone_normalise(recipient->address, NULL);
	return recipient->address == NULL ? NULL : pstrdup(recipient->address);
}

/* Does arm(only) allow this address? Where there is none, it does not. */
static bool
is_allowed(const MaArm *arm, const char *address)
{
	if (arm->only_count < 0)
		return true;
	for (int i = 0; i < arm->only_count; i++)
		if (address != NULL && pg_strcasecmp(arm->only[i], address) == 0)
			return true;
	return false;
}

/* Is that an address of this kind? */
static bool
is_like(const char *kind, const char *address)
{
	bool is_email = strchr(address, '@') != NULL;

	return strcmp(kind, is_email ? "email" : "phone") == 0;
}

/*
 * Was it we who were told to stop? What a function raises, like the cancel of
 * a query elsewhere, has the same code.
 */
static bool
is_cancel(const ErrorData *edata)
{
	return edata->sqlerrcode == ERRCODE_QUERY_CANCELED &&
		   edata->funcname != NULL &&
		   strcmp(edata->funcname, "ProcessInterrupts") == 0;
}

/* May the same go well at another time, with nothing changed? */
static bool
may_pass(int sqlerrcode)
{
	switch (ERRCODE_TO_CATEGORY(sqlerrcode))
	{
		case ERRCODE_CONNECTION_EXCEPTION:
		case ERRCODE_TRANSACTION_ROLLBACK:
		case ERRCODE_INSUFFICIENT_RESOURCES:
		case ERRCODE_OPERATOR_INTERVENTION:
		case ERRCODE_CONFIG_FILE_ERROR:
			return true;
		default:
			return sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE;
	}
}

/* What an error says, and where in the template it was, or which function. */
static char *
failure_of(const ErrorData *edata)
{
	const char *last =
		edata->context == NULL ? NULL : strrchr(edata->context, '\n');
	const char *place = last == NULL ? edata->context : last + 1;
	char	   *text = edata->message;

	if (edata->detail != NULL)
		text = psprintf("%s: %s", text, edata->detail);
	return place == NULL ? text : psprintf("%s (%s)", text, place);
}

/*
 * Renders one letter in a subtransaction; an error is its failure. So is a
 * cancel, or who cannot be rendered in the time of a CALL would be in the way
 * of all others at the next one.
 */
static void
render(const MaChannel *channel, Draft *draft)
{
	MemoryContext		  cxt = CurrentMemoryContext;
	ResourceOwner		  owner = CurrentResourceOwner;
	ErrorContextCallback *callers = error_context_stack;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(cxt);
	PG_TRY();
	{
		MaRendered said;

		error_context_stack = NULL;
		draft->data =
			ma_link_add(channel, draft->letter->message_id, draft->enqueued_at,
						draft->data, &draft->links);
		ma_template_say(draft->template_id, draft->version, draft->data, false,
						&said);
		if (channel->transport == MA_CHANNEL_SMTP)
			compose(channel, draft, &said);
		if (channel->transport == MA_CHANNEL_HTTP)
			request(channel, draft, &said);
		error_context_stack = callers;
		ReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(cxt);
		CurrentResourceOwner = owner;
	}
	PG_CATCH();
	{
		ErrorData *edata;

		MemoryContextSwitchTo(cxt);
		edata = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(cxt);
		CurrentResourceOwner = owner;
		if (is_cancel(edata))
			draft->letter->cancel = edata;
		draft->letter->passing = may_pass(edata->sqlerrcode);
		draft->letter->failure = failure_of(edata);
	}
	PG_END_TRY();
}

/* Does a link stand in what a message says? */
static bool
stands_in(const char *link, const MaRendered *said)
{
	return link != NULL &&
		   ((said->html != NULL && strstr(said->html, link) != NULL) ||
			(said->body != NULL && strstr(said->body, link) != NULL));
}

/* A name as one word of ASCII. */
static char *
one_word(const char *name)
{
	char *word = pstrdup(name);

	for (char *p = word; *p != '\0'; p++)
		if (!isalnum((unsigned char) *p) || (*p & 0x80))
			*p = '_';
	return word;
}

/* Composes what goes over the wire. */
static void
compose(const MaChannel *channel, const Draft *draft, const MaRendered *said)
{
	MaLetter *letter = draft->letter;
	MaMail	  mail = {0};

	mail.from.name = channel->from_name;
	mail.from.address = channel->from;
	mail.to.name = draft->name;
	mail.to.address = letter->address;
	mail.reply_to.address = channel->reply_to;
	mail.subject = said->subject;
	mail.text = said->body;
	mail.html = said->html;
	mail.message_id =
		psprintf("%s@%s", unique_key(draft), ma_address_domain(channel->from));
	mail.date = ma_now();
	mail.zone = ma_timezone();
	mail.auto_submitted = "auto-generated";
	mail.files = said->files;
	mail.nfiles = said->nfiles;
	mail.unsubscribe_mailto = channel->unsubscribe;
	mail.list_id = channel->list_id;
	if (stands_in(draft->links.unsubscribe, said))
	{
		mail.unsubscribe_url = draft->links.unsubscribe;
		mail.one_click = strncmp(mail.unsubscribe_url, "https:", 6) == 0;
	}
	if (channel->feedback_id != NULL)
		mail.feedback_id =
			psprintf("%s:%s:%s", one_word(said->template),
					 one_word(channel->name), channel->feedback_id);
	letter->sender = pstrdup(channel->from);
	initStringInfo(&letter->content);
	ma_mail_compose(&mail, &letter->content);
}

/* Makes the request that carries it. */
static void
request(const MaChannel *channel, const Draft *draft, const MaRendered *said)
{
	MaLetter  *letter = draft->letter;
	MaOutgoing outgoing = {channel};

	outgoing.message_id = letter->message_id;
	outgoing.key = unique_key(draft);
	outgoing.attempt = letter->attempt;
	outgoing.to = letter->address;
	outgoing.template = said->template;
	outgoing.data = said->data;
	outgoing.said = said;
	ma_letter_request(&outgoing, &letter->request);
}

/* By what a message is known out there, the same at each attempt. */
static char *
unique_key(const Draft *draft)
{
	return psprintf(INT64_FORMAT ".%llx", draft->letter->message_id,
					(unsigned long long) draft->enqueued_at);
}
