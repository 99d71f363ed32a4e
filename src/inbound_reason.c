/*
 * inbound_reason.c
 *	  Why mail could not be delivered, told by codes and well-known texts.
 *
 * Servers say the same in a thousand ways, and the code often says less than
 * the text: 550 5.1.1 is given for spam, too, and 5.0.0 for an unknown user.
 * So the text is asked first, by a table whose first match wins, and the
 * enhanced status (RFC 3463) where the text says nothing we know. What is
 * specific stands before what is general.
 */
#include "postgres.h"

#include "lib/stringinfo.h"

#include "inbound_reason.h"

static const MaReason user_unknown = {"user_unknown", true};
static const MaReason host_unknown = {"host_unknown", true};
static const MaReason has_moved = {"has_moved", true};
static const MaReason not_accepting = {"not_accepting", true};
static const MaReason mailbox_full = {"mailbox_full", false};
static const MaReason disabled = {"disabled", false};
static const MaReason filtered = {"filtered", false};
static const MaReason too_big = {"too_big", false};
static const MaReason spam = {"spam", false};
static const MaReason virus = {"virus", false};
static const MaReason content = {"content", false};
static const MaReason blocked = {"blocked", false};
static const MaReason authentication = {"authentication", false};
static const MaReason policy = {"policy", false};
static const MaReason rejected = {"rejected", false};
static const MaReason relaying = {"relaying", false};
static const MaReason rate = {"rate", false};
static const MaReason expired = {"expired", false};
static const MaReason network = {"network", false};
static const MaReason server = {"server", false};
static const MaReason unknown = {"unknown", false};

/*
 * Texts in lower case, white space collapsed. "a*b": a and anywhere after it
 * b. The first that is found decides.
 */
static const struct
{
	const MaReason *reason;
	const char	   *text;
} texts[] = {
	/* the sender was refused, or the message, by a server that took the
	 * recipient */
	{&rejected, "after mail from"},
	{&rejected, "reply to mail from"},
	{&server, "couldn't create"},
	{&network, "host not found, try again"},
	{&host_unknown, "domain may not exist"},
	/* full */
	{&mailbox_full, "mailbox full"},
	{&mailbox_full, "mailbox is full"},
	{&mailbox_full, "mailbox*is full"},
	{&mailbox_full, "mailbox exceeded"},
	{&mailbox_full, "mailbox has exceeded"},
	{&mailbox_full, "mailbox size"},
	{&mailbox_full, "mailfolder is full"},
	{&mailbox_full, "mail box full"},
	{&mailbox_full, "account is full"},
	{&mailbox_full, "inbox is full"},
	{&mailbox_full, "inbox is out of storage"},
	{&mailbox_full, "over quota"},
	{&mailbox_full, "overquota"},
	{&mailbox_full, "over the quota"},
	{&mailbox_full, "over its quota"},
	{&mailbox_full, "over disk quota"},
	{&mailbox_full, "exceeded*quota"},
	{&mailbox_full, "quota exceeded"},
	{&mailbox_full, "quota*exceeded"},
	{&mailbox_full, "quota full"},
	{&mailbox_full, "quotaexceeded"},
	{&mailbox_full, "storage quota"},
	{&mailbox_full, "out of storage"},
	{&mailbox_full, "exhausted allowed storage"},
	{&mailbox_full, "not enough storage space in"},
	{&mailbox_full, "receiving mail that would exceed"},
	{&mailbox_full, "message would exceed"},
	{&mailbox_full, "boite du destinataire pleine"},
	/* who sends, and how */
	{&authentication, "dmarc"},
	{&authentication, "spf check"},
	{&authentication, "spf fail"},
	{&authentication, "spf (sender policy"},
	{&authentication, "sender policy framework"},
	{&authentication, "spf record"},
	{&authentication, "dkim"},
	{&authentication, "unauthenticated"},
	{&blocked, "blacklist"},
	{&blocked, "blocklist"},
	{&blocked, "block list"},
	{&blocked, "black list"},
	{&blocked, "denylist"},
	{&blocked, "spamhaus"},
	{&blocked, "spamcop"},
	{&blocked, "barracudanetworks"},
	{&blocked, "dnsbl"},
	{&blocked, "rbl"},
	{&blocked, "poor reputation"},
	{&blocked, "bad reputation"},
	{&blocked, "low reputation"},
	{&blocked, "reputation"},
	{&blocked, "reverse dns"},
	{&blocked, "ptr record"},
	{&blocked, "rdns"},
	{&blocked, "fix reverse"},
	{&blocked, "client host rejected"},
	{&blocked, "client host [*blocked"},
	{&blocked, "cannot find your hostname"},
	{&blocked, "your ip"},
	{&blocked, "ip address*blocked"},
	{&blocked, "ip address*rejected"},
	{&blocked, "ip address*banned"},
	{&blocked, "banned sending ip"},
	{&blocked, "helo command rejected"},
	{&blocked, "open relay"},
	/* what is sent */
	{&virus, "virus"},
	{&virus, "malware"},
	{&virus, "infected"},
	{&spam, "spam"},
	{&spam, "unsolicited"},
	{&spam, "bulk mail"},
	{&spam, "junk mail"},
	{&too_big, "too big"},
	{&too_big, "too large"},
	{&too_big, "message size exceeds"},
	{&too_big, "exceeds*maximum*size"},
	{&too_big, "exceeded*maximum*size"},
	{&too_big, "size limit"},
	{&too_big, "fixed maximum message size"},
	{&content, "attachment*not allowed"},
	{&content, "attachment*blocked"},
	{&content, "attachment type"},
	{&content, "dangerous attachment"},
	{&content, "blocked for security reasons"},
	{&content, "content rejected"},
	{&content, "header*not rfc"},
	{&policy, "policy"},
	{&policy, "security reasons"},
	{&relaying, "relaying denied"},
	{&relaying, "relay denied"},
	{&relaying, "relay not permitted"},
	{&relaying, "relay access denied"},
	{&relaying, "relaying not"},
	{&relaying, "not relay"},
	{&relaying, "unable to relay"},
	{&relaying, "not allowed to relay"},
	{&relaying, "rcpthosts"},
	{&rejected, "sender rejected"},
	{&rejected, "sender address rejected"},
	{&rejected, "sender verify"},
	{&rejected, "sender denied"},
	{&rejected, "sender domain"},
	{&rejected, "sender not"},
	{&rejected, "domain of sender"},
	{&rejected, "mail from*rejected"},
	{&rejected, "your access to this mail system"},
	/* the account is there, but closed for now or for us */
	{&disabled, "account*disabled"},
	{&disabled, "mailbox disabled"},
	{&disabled, "mailbox is disabled"},
	{&disabled, "mailbox*inactive"},
	{&disabled, "user*disabled"},
	{&disabled, "user suspended"},
	{&disabled, "suspended"},
	{&disabled, "account is inactive"},
	{&disabled, "account inactive"},
	{&disabled, "inactive user"},
	{&disabled, "not accepting messages"},
	{&disabled, "account has been"},
	{&disabled, "is not currently accepting"},
	{&filtered, "recipient refused"},
	{&filtered, "user reject"},
	{&filtered, "not accept mail from"},
	{&filtered, "due to extended inactivity"},
	/* dead */
	{&has_moved, "has been replaced by"},
	{&has_moved, "no longer*address"},
	{&has_moved, "has moved"},
	{&has_moved, "user not local; please try"},
	{&not_accepting, "nullmx"},
	{&not_accepting, "null mx"},
	{&not_accepting, "does not accept mail"},
	{&not_accepting, "domain*does not accept"},
	{&not_accepting, "mx resource record*points to null"},
	{&not_accepting, "system not accepting"},
	{&not_accepting, "indicated no smtp service"},
	{&not_accepting, "no mx found"},
	{&not_accepting, "no mx record found"},
	{&user_unknown, "recipient address rejected: access denied"},
	{&user_unknown, "unknown or illegal"},
	{&user_unknown, "no valid recipients"},
	{&user_unknown, "rejected recipient"},
	{&user_unknown, "invalid final delivery userid"},
	{&rejected, "access denied"},
	{&user_unknown, "user unknown"},
	{&user_unknown, "unknown user"},
	{&user_unknown, "unknown subscriber"},
	{&user_unknown, "unallocated number"},
	{&user_unknown, "number not in service"},
	{&user_unknown, "no such user"},
	{&user_unknown, "no such recipient"},
	{&user_unknown, "no such mailbox"},
	{&user_unknown, "no such address"},
	{&user_unknown, "no such account"},
	{&user_unknown, "no such person"},
	{&user_unknown, "no mailbox here"},
	{&user_unknown, "no mailbox by that name"},
	{&user_unknown, "no account by that name"},
	{&user_unknown, "no user by that name"},
	{&user_unknown, "not a valid mailbox"},
	{&user_unknown, "not a valid user"},
	{&user_unknown, "not a known user"},
	{&user_unknown, "not our customer"},
	{&user_unknown, "no longer*employ"},
	{&user_unknown, "recipient unknown"},
	{&user_unknown, "unknown recipient"},
	{&user_unknown, "unknown address"},
	{&user_unknown, "unknown local"},
	{&user_unknown, "address unknown"},
	{&user_unknown, "recipient not found"},
	{&user_unknown, "recipnotfound"},
	{&user_unknown, "recipient address rejected: unknown"},
	{&user_unknown, "invalid recipient"},
	{&user_unknown, "invalid mailbox"},
	{&user_unknown, "invalid user"},
	{&user_unknown, "invalid address"},
	{&user_unknown, "bad destination mailbox"},
	{&user_unknown, "mailbox not found"},
	{&user_unknown, "mailbox unknown"},
	{&user_unknown, "mailbox does not exist"},
	{&user_unknown, "mailbox unavailable"},
	{&user_unknown, "mailbox not available"},
	{&user_unknown, "mailbox for*not exist"},
	{&user_unknown, "user not found"},
	{&user_unknown, "user*not found"},
	{&user_unknown, "user*doesn't have"},
	{&user_unknown, "account*not exist"},
	{&user_unknown, "account*does not exist"},
	{&user_unknown, "user*does not exist"},
	{&user_unknown, "user*doesn't exist"},
	{&user_unknown, "user*not exist"},
	{&user_unknown, "address*does not exist"},
	{&user_unknown, "recipient*does not exist"},
	{&user_unknown, "addressee unknown"},
	{&user_unknown, "address not found"},
	{&user_unknown, "email address could not be found"},
	{&user_unknown, "e-mail address*not be found"},
	{&user_unknown, "not listed in"},
	{&user_unknown, "does not exist here"},
	{&user_unknown, "unrouteable address"},
	{&user_unknown, "undeliverable address"},
	{&user_unknown, "recipient rejected"},
	{&host_unknown, "host unknown"},
	{&host_unknown, "unknown host"},
	{&host_unknown, "host not found"},
	{&host_unknown, "lookup failure: host*not found"},
	{&host_unknown, "host or domain name not found"},
	{&host_unknown, "domain not found"},
	{&host_unknown, "domain name not found"},
	{&host_unknown, "domain*not found"},
	{&host_unknown, "no such domain"},
	{&host_unknown, "domain is not"},
	{&host_unknown, "bad destination system"},
	{&host_unknown, "non-existent domain"},
	{&host_unknown, "nxdomain"},
	{&host_unknown, "couldn't find any host"},
	{&host_unknown, "recipient domain must exist"},
	{&host_unknown, "domain does not exist"},
	{&host_unknown, "domain*doesn't exist"},
	/* later, perhaps */
	{&rate, "too many"},
	{&rate, "rate limit"},
	{&rate, "throttl"},
	{&expired, "timed out"},
	{&expired, "timeout"},
	{&expired, "too old"},
	{&expired, "retry time"},
	{&expired, "delivery time expired"},
	{&expired, "delayed"},
	{&expired, "not yet been delivered"},
	{&expired, "has not been delivered"},
	{&expired, "could not be delivered for"},
	{&expired, "connection refused"},
	{&network, "network"},
	{&network, "loop"},
	{&network, "too many hops"},
	{&network, " dns "},
	{&network, "name server"},
	{&server, "system error"},
	{&server, "local error"},
	{&server, "command failed"},
	{&server, "configuration"},
	{&server, "disk full"},
	{&server, "no space left"},
	{&server, "temporar"},
};

/* A server that has come so far has taken the recipient. */
static const char *const after_data[] = {"end of data", "reply to data",
										 "after data", "command data"};

static bool found_in(const char *text, const char *pattern);

/*
 * The reason that a text gives, NULL if it gives none we know. The text is
 * as ma_reason_plain() makes it, in lower case.
 */
const MaReason *
ma_reason_of_text(const char *text)
{
	for (int i = 0; i < lengthof(texts); i++)
		if (found_in(text, texts[i].text))
			return texts[i].reason;
	return NULL;
}

/*
 * The reason that an unknown user is in truth: one whose mailbox has some
 * status (5.2.0) is there, and a server that refuses only the message, after
 * its end, has taken the recipient before. Filters pretend to be nobody. The
 * text as above.
 */
const MaReason *
ma_reason_in_truth(const MaReason *reason, const char *status,
				   const char *text)
{
	if (reason != &user_unknown)
		return reason;
	if (status != NULL && strncmp(status, "5.1.", 4) == 0)
		return reason;
	if (status != NULL && strcmp(status, "5.2.0") == 0)
		return &filtered;
	for (int i = 0; i < lengthof(after_data); i++)
		if (strstr(text, after_data[i]) != NULL)
			return &filtered;
	return reason;
}

/* Is a pattern "a*b" in a text? */
static bool
found_in(const char *text, const char *pattern)
{
	char part[64];

	for (;;)
	{
		Size len = strcspn(pattern, "*");

		memcpy(part, pattern, len);
		part[len] = '\0';
		text = strstr(text, part);
		if (text == NULL || pattern[len] == '\0')
			return text != NULL;
		text += len;
		pattern += len + 1;
	}
}

/* The reason that an enhanced status code gives, NULL if none. */
const MaReason *
ma_reason_of_status(const char *status)
{
	static const struct
	{
		const char	   *status;
		const MaReason *reason;
	} codes[] = {{"5.1.1", &user_unknown},	{"5.1.0", &user_unknown},
				 {"5.1.10", &user_unknown}, {"5.1.2", &host_unknown},
				 {"5.1.3", &user_unknown},	{"5.1.6", &has_moved},
				 {"5.2.1", &disabled},		{"5.3.2", &not_accepting},
				 {"5.2.2", &mailbox_full},	{"4.2.2", &mailbox_full},
				 {"5.2.3", &too_big},		{"5.3.4", &too_big},
				 {"5.4.4", &host_unknown},	{"5.4.6", &network},
				 {"4.4.7", &expired},		{"5.4.7", &expired},
				 {"5.7.1", &policy},		{"5.7.26", &authentication}};

	for (int i = 0; i < lengthof(codes); i++)
		if (strcmp(codes[i].status, status) == 0)
			return codes[i].reason;
	return NULL;
}

/* The reason of the class a code belongs to; NULL is no code. */
const MaReason *
ma_reason_of_class(const char *status)
{
	if (status == NULL)
		return &unknown;
	if (status[0] == '4')
		return &expired;
	switch (status[2])
	{
		case '3':
			return &server;
		case '4':
			return &network;
		case '6':
			return &content;
		case '7':
			return &policy;
		default:
			return &unknown;
	}
}

/* The first enhanced status code ("5.1.1") in a text, NULL if there is none. */
char *
ma_reason_status(const char *text)
{
	for (const char *p = text; *p != '\0'; p++)
	{
		Size detail;
		Size subject;

		if ((*p != '4' && *p != '5') || p[1] != '.' ||
			(p > text && (isalnum((unsigned char) p[-1]) || p[-1] == '.')))
			continue;
		subject = strspn(p + 2, "0123456789");
		if (subject < 1 || subject > 3 || p[2 + subject] != '.')
			continue;
		detail = strspn(p + 3 + subject, "0123456789");
		if (detail < 1 || detail > 3 ||
			(p[3 + subject + detail] == '.' &&
			 isdigit((unsigned char) p[4 + subject + detail])))
			continue;
		return pnstrdup(p, 3 + subject + detail);
	}
	return NULL;
}

/*
 * A text in one line of at most max bytes, white space collapsed, in which
 * what is not printable ASCII is a question mark.
 */
char *
ma_reason_plain(const char *text, Size max)
{
	StringInfoData out;

	initStringInfo(&out);
	for (const char *p = text; *p != '\0' && out.len < max; p++)
	{
		unsigned char c = (unsigned char) *p;

		if (c > ' ' && c < 0x7f)
			appendStringInfoChar(&out, c);
		else if (c >= 0x7f || !isspace(c))
			appendStringInfoChar(&out, '?');
		else if (out.len > 0 && out.data[out.len - 1] != ' ')
			appendStringInfoChar(&out, ' ');
	}
	while (out.len > 0 && out.data[out.len - 1] == ' ')
		out.data[--out.len] = '\0';
	return out.data;
}
