/*
 * address.c
 *	  E-mail addresses and phone numbers: may we send to them, one spelling.
 *
 * What is accepted is what an SMTP server can be told in RCPT TO (RFC 5321
 * Mailbox, RFC 6531 for UTF-8), not what a header may hold: no comments, no
 * folding white space, no obsolete forms. White space at the ends is refused
 * too; who wants to forgive it trims first. Nothing is looked up in the DNS.
 * The domain may be given in UTF-8 or in A-labels; the transport converts.
 */
#include "postgres.h"

#include <ctype.h>

#include "catalog/pg_collation.h"
#include "common/cryptohash.h"
#include "common/sha2.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/formatting.h"

#include "address.h"
#include "compat.h"

PG_FUNCTION_INFO_V1(mautomate_address_problem);
PG_FUNCTION_INFO_V1(mautomate_normal_address);
PG_FUNCTION_INFO_V1(mautomate_phone_problem);
PG_FUNCTION_INFO_V1(mautomate_normal_phone);
PG_FUNCTION_INFO_V1(mautomate_address_hash);

#define ADDRESS_MAX 254 /* octets; RFC 5321 path limit less "<>" */
#define LOCAL_MAX	64	/* octets before the @ */
#define DOMAIN_MAX	253 /* octets of a domain name */
#define LABEL_MAX	63	/* octets between two dots */
#define PHONE_MIN	7	/* digits of the shortest numbers in use */
#define PHONE_MAX	15	/* digits; E.164 */

static const char *control_problem(const char *address);
static const char *local_problem(const char *local, int len);
static const char *atom_problem(const char *local, int len);
static const char *quoted_problem(const char *local, int len);
static const char *domain_problem(const char *domain);
static const char *label_problem(const char *label, int len);
static const char *literal_problem(const char *literal);
static bool		   ipv4_valid(const char *s, int len);
static bool		   ipv6_valid(const char *s, int len);
static bool		   is_atext(unsigned char c);
static const char *find_at(const char *address);
static char		  *plain_local(const char *local, int len);

/*
 * May mail be sent to this address? If not, *reason tells why.
 */
bool
ma_address_valid(const char *address, const char **reason)
{
	const char *problem = NULL;
	const char *at = find_at(address);

	if (*address == '\0')
		problem = "The address is empty.";
	else
		problem = control_problem(address);

	if (problem == NULL && at == NULL)
		problem = "It has no @ that separates a name from a domain.";
	if (problem == NULL)
		problem = local_problem(address, at - address);
	if (problem == NULL)
		problem = domain_problem(at + 1);
	if (problem == NULL && strlen(address) > ADDRESS_MAX)
		problem = "It is longer than 254 octets.";

	if (reason)
		*reason = problem;
	return problem == NULL;
}

/*
 * The one spelling of an address: domain in lower case, needless quotes
 * removed; the part before the @ keeps its case, which its server may mind.
 * NULL, and the reason, if the address is not valid.
 */
char *
ma_address_normalise(const char *address, const char **reason)
{
	const char *at;
	char	   *local;
	char	   *domain;
	char	   *result;

	if (!ma_address_valid(address, reason))
		return NULL;

	at = find_at(address);
	local = plain_local(address, at - address);
	domain = str_tolower(at + 1, strlen(at + 1), DEFAULT_COLLATION_OID);
	result = psprintf("%s@%s", local, domain);
	pfree(local);
	pfree(domain);
	return result;
}

/*
 * The domain of a valid address, pointing into it.
 */
const char *
ma_address_domain(const char *address)
{
	const char *at = find_at(address);

	return at ? at + 1 : "";
}

/*
 * Does a valid address need SMTPUTF8? (A UTF-8 domain does not: it is sent
 * as A-labels.)
 */
bool
ma_address_needs_utf8(const char *address)
{
	const char *at = find_at(address);

	for (const char *p = address; p < at; p++)
	{
		if (IS_HIGHBIT_SET(*p))
			return true;
	}
	return false;
}

/*
 * The @ between name and domain: the first one outside quotes, so that a
 * second one is found to be an error of the domain.
 */
static const char *
find_at(const char *address)
{
	const char *p = address;

	if (*p == '"')
	{
		for (p++; *p != '\0' && *p != '"'; p++)
		{
			if (*p == '\\' && p[1] != '\0')
				p++;
		}
	}
	return strchr(p, '@');
}

/*
 * Characters that are wrong wherever they stand: they could end the SMTP
 * command or hide what is written.
 */
static const char *
control_problem(const char *address)
{
	bool utf8 = GetDatabaseEncoding() == PG_UTF8;
	int	 len;

	for (const char *p = address; *p != '\0'; p += len)
	{
		pg_wchar c;

		len = 1;
		if (*p == '\r' || *p == '\n')
			return "It contains a line break.";
		if ((unsigned char) *p < ' ' || *p == 0x7f)
			return "It contains a control character.";
		if (!utf8 || !IS_HIGHBIT_SET(*p))
			continue;
		len = pg_mblen(p);
		c = utf8_to_unicode((const unsigned char *) p);
		if (c < 0xa1 || (c >= 0x2000 && c <= 0x200f) ||
			(c >= 0x2028 && c <= 0x202f) || (c >= 0x205f && c <= 0x206f) ||
			c == 0x3000 || c == 0xfeff || (c >= 0xfff0 && c <= 0xffff))
			return "It contains an invisible character.";
	}
	return NULL;
}

/*
 * What is wrong with the part before the @.
 */
static const char *
local_problem(const char *local, int len)
{
	if (len == 0)
		return "There is nothing before the @.";
	if (len > LOCAL_MAX)
		return "The part before the @ is longer than 64 octets.";
	if (local[0] == '"')
		return quoted_problem(local, len);
	return atom_problem(local, len);
}

/*
 * What is wrong with a local part that is not quoted.
 */
static const char *
atom_problem(const char *local, int len)
{
	if (local[0] == '.' || local[len - 1] == '.')
		return "The part before the @ starts or ends with a dot.";

	for (int i = 0; i < len; i++)
	{
		if (local[i] == '.' && local[i + 1] == '.')
			return "The part before the @ has two dots in a row.";
		if (local[i] == ' ')
			return "The part before the @ contains a space.";
		if (local[i] == '(' || local[i] == ')')
			return "It contains a comment, which mail servers do not take.";
		if (local[i] != '.' && !is_atext(local[i]))
			return "The part before the @ contains a character that must not be there.";
	}
	return NULL;
}

/*
 * What is wrong with a quoted local part.
 */
static const char *
quoted_problem(const char *local, int len)
{
	int i;

	for (i = 1; i < len && local[i] != '"'; i++)
	{
		if (local[i] != '\\')
			continue;
		i++;
		if (i == len || IS_HIGHBIT_SET(local[i]))
			return "A backslash in the quoted part hides a wrong character.";
	}
	if (i >= len)
		return "The quoted part before the @ is not closed.";
	if (i != len - 1)
		return "There is something between the quoted part and the @.";
	return NULL;
}

/*
 * What is wrong with the part after the @.
 */
static const char *
domain_problem(const char *domain)
{
	const char *label = domain;
	bool		last = false;

	if (*domain == '\0')
		return "There is nothing after the @.";
	if (*domain == '[')
		return literal_problem(domain);
	if (strlen(domain) > DOMAIN_MAX)
		return "The domain is longer than 253 octets.";

	while (!last)
	{
		int			len = strcspn(label, ".");
		const char *problem = label_problem(label, len);

		if (problem)
			return problem;
		last = label[len] == '\0';
		if (last && strspn(label, "0123456789") == len)
			return "The domain ends in a number.";
		label += len + 1;
	}
	return NULL;
}

/*
 * What is wrong with one label of a domain. The length of a UTF-8 label is
 * known only once it is converted; the transport looks again.
 */
static const char *
label_problem(const char *label, int len)
{
	bool ascii = true;

	if (len == 0)
		return "The domain starts or ends with a dot or has two in a row.";

	for (int i = 0; i < len; i++)
	{
		unsigned char c = label[i];

		if (c == '@')
			return "It has more than one @.";
		if (c == ' ')
			return "The domain contains a space.";
		if (c == '(' || c == ')')
			return "It contains a comment, which mail servers do not take.";
		if (IS_HIGHBIT_SET(c))
			ascii = false;
		else if (!isalnum(c) && c != '-')
			return "The domain contains a character that must not be there.";
	}
	if (label[0] == '-' || label[len - 1] == '-')
		return "A part of the domain starts or ends with a hyphen.";
	if (ascii && len > LABEL_MAX)
		return "A part of the domain is longer than 63 octets.";
	return NULL;
}

/*
 * What is wrong with an address literal such as [192.0.2.1].
 */
static const char *
literal_problem(const char *literal)
{
	int len = strlen(literal);

	if (literal[len - 1] == ']' &&
		(ipv4_valid(literal + 1, len - 2) ||
		 (pg_strncasecmp(literal, "[IPv6:", 6) == 0 &&
		  ipv6_valid(literal + 6, len - 7))))
		return NULL;
	return "What stands in brackets after the @ is not an IP address.";
}

/*
 * Is this a dotted quad?
 */
static bool
ipv4_valid(const char *s, int len)
{
	const char *end = s + len;

	for (int part = 0; part < 4; part++)
	{
		int value = 0;
		int digits = 0;

		for (; s < end && isdigit((unsigned char) *s); s++, digits++)
			value = Min(value * 10 + (*s - '0'), 256);
		if (digits == 0 || digits > 3 || value > 255)
			return false;
		if (part < 3 && (s == end || *s++ != '.'))
			return false;
	}
	return s == end;
}

/*
 * Is this an IPv6 address? Eight groups of up to four hexadecimal digits, one
 * "::" in place of any number of groups, the last two may be a dotted quad.
 */
static bool
ipv6_valid(const char *s, int len)
{
	const char *end = s + len;
	int			groups = 0;
	bool		gap = false;

	if (len >= 2 && s[0] == ':' && s[1] == ':')
	{
		gap = true;
		s += 2;
	}
	while (s < end)
	{
		int n = 0;

		while (s + n < end && isxdigit((unsigned char) s[n]))
			n++;
		if (s + n < end && s[n] == '.')
		{
			if (!ipv4_valid(s, end - s))
				return false;
			groups += 2;
			break;
		}
		if (n == 0 || n > 4)
			return false;
		groups++;
		s += n;
		if (s == end)
			break;
		if (*s++ != ':' || s == end)
			return false;
		if (*s == ':')
		{
			if (gap)
				return false;
			gap = true;
			s++;
		}
	}
	return gap ? groups <= 7 : groups == 8;
}

/*
 * May this octet stand in an atom? (UTF-8 may, by RFC 6531.)
 */
static bool
is_atext(unsigned char c)
{
	return isalnum(c) || IS_HIGHBIT_SET(c) ||
		   (c != '\0' && strchr("!#$%&'*+-/=?^_`{|}~", c) != NULL);
}

/*
 * The local part without quotes where it means the same without them.
 */
static char *
plain_local(const char *local, int len)
{
	char *plain;
	int	  n = 0;

	if (local[0] != '"')
		return pnstrdup(local, len);

	plain = palloc(len);
	for (int i = 1; i < len - 1; i++)
	{
		if (local[i] == '\\')
			i++;
		plain[n++] = local[i];
	}
	plain[n] = '\0';
	if (n > 0 && atom_problem(plain, n) == NULL)
		return plain;
	pfree(plain);
	return pnstrdup(local, len);
}

/*
 * Is this a phone number in the form it is stored and dialled: + and 7 to 15
 * digits? If not, *reason tells why.
 */
static bool
is_phone(const char *phone, const char **reason)
{
	const char *problem = NULL;
	int			digits = phone[0] == '+' ? strspn(phone + 1, "0123456789") : 0;

	if (*phone == '\0')
		problem = "The phone number is empty.";
	else if (*phone != '+')
		problem = "A phone number starts with + and the country code.";
	else if (phone[1 + digits] != '\0')
		problem = "A phone number has only digits after the +.";
	else if (phone[1] == '0')
		problem = "No country code starts with 0.";
	else if (digits < PHONE_MIN)
		problem = "The phone number has fewer than 7 digits.";
	else if (digits > PHONE_MAX)
		problem = "The phone number has more than 15 digits.";

	if (reason)
		*reason = problem;
	return problem == NULL;
}

/*
 * The one spelling of a phone number: what people write between the digits
 * is removed, as is the "(0)" of "+44 (0)20"; a leading 00 becomes +. NULL,
 * and the reason, if no valid number comes out.
 */
char *
ma_phone_normalise(const char *phone, const char **reason)
{
	char *result = palloc(strlen(phone) + 2);
	char *out = result;

	while (*phone == ' ')
		phone++;
	if (phone[0] == '0' && phone[1] == '0')
	{
		*out++ = '+';
		phone += 2;
	}
	while (*phone != '\0')
	{
		if (out > result && strncmp(phone, "(0)", 3) == 0)
			phone += 3;
		else if (strchr(" -./()", *phone))
			phone++;
		else
			*out++ = *phone++;
	}
	*out = '\0';

	if (is_phone(result, reason))
		return result;
	pfree(result);
	return NULL;
}

/*
 * SQL: what is wrong with an e-mail address, null if nothing is.
 */
Datum
mautomate_address_problem(PG_FUNCTION_ARGS)
{
	const char *reason;

	if (ma_address_valid(text_to_cstring(PG_GETARG_TEXT_PP(0)), &reason))
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(reason));
}

/*
 * SQL: the one spelling of an e-mail address, null if it is not valid.
 */
Datum
mautomate_normal_address(PG_FUNCTION_ARGS)
{
	char *result;

	result = ma_address_normalise(text_to_cstring(PG_GETARG_TEXT_PP(0)), NULL);
	if (result == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(result));
}

/*
 * SQL: what is wrong with a phone number however written, null if nothing is.
 */
Datum
mautomate_phone_problem(PG_FUNCTION_ARGS)
{
	const char *reason;

	if (ma_phone_normalise(text_to_cstring(PG_GETARG_TEXT_PP(0)), &reason))
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(reason));
}

/*
 * SQL: the one spelling of a phone number, null if it is not valid.
 */
Datum
mautomate_normal_phone(PG_FUNCTION_ARGS)
{
	char *result;

	result = ma_phone_normalise(text_to_cstring(PG_GETARG_TEXT_PP(0)), NULL);
	if (result == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(result));
}

/* See address.h. */
struct varlena *
ma_address_hash(const char *address)
{
	char			  *normal = strchr(address, '@') != NULL ?
									ma_address_normalise(address, NULL) :
									ma_phone_normalise(address, NULL);
	const char		  *known = normal != NULL ? normal : address;
	pg_cryptohash_ctx *sha = pg_cryptohash_create(PG_SHA256);
	bytea			  *hash = palloc(VARHDRSZ + PG_SHA256_DIGEST_LENGTH);

	known = str_tolower(known, strlen(known), DEFAULT_COLLATION_OID);
	known = pg_server_to_any(known, strlen(known), PG_UTF8);
	SET_VARSIZE(hash, VARHDRSZ + PG_SHA256_DIGEST_LENGTH);
	if (pg_cryptohash_init(sha) < 0 ||
		pg_cryptohash_update(sha, (const uint8 *) known, strlen(known)) < 0 ||
		pg_cryptohash_final(sha, (uint8 *) VARDATA(hash),
							PG_SHA256_DIGEST_LENGTH) < 0)
		elog(ERROR, "could not compute a hash: %s", pg_cryptohash_error(sha));
	pg_cryptohash_free(sha);
	return hash;
}

/*
 * SQL: by what an address is known to suppression.
 */
Datum
mautomate_address_hash(PG_FUNCTION_ARGS)
{
	PG_RETURN_BYTEA_P(ma_address_hash(text_to_cstring(PG_GETARG_TEXT_PP(0))));
}
