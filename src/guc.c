/*
 * guc.c
 *	  Every setting of mautomate, defined in one place.
 */
#include "postgres.h"

#include <limits.h>

#include "miscadmin.h"
#include "utils/guc.h"
#include "utils/varlena.h"

#include "guc.h"
#include "zone.h"

char *ma_guc_databases;
int	  ma_guc_senders;
char *ma_guc_timezone;
int	  ma_guc_identity;
int	  ma_guc_refresh;
char *ma_guc_secrets_directory;
int	  ma_guc_hard_bounces;
int	  ma_guc_soft_bounces;
int	  ma_guc_soft_bounce_days;
int	  ma_guc_complaints;
char *ma_guc_stop_words;
char *ma_guc_start_words;
int	  ma_guc_data_timeout;
int	  ma_guc_window_entries;
char *ma_guc_token_key_file;

static const struct config_enum_entry identity_options[] = {
	{"merge", MA_IDENTITY_MERGE, false},
	{"refuse", MA_IDENTITY_REFUSE, false},
	{"allow", MA_IDENTITY_ALLOW, false},
	{NULL, 0, false}};

static const struct config_enum_entry refresh_options[] = {
	{"immediate", MA_REFRESH_IMMEDIATE, false},
	{"deferred", MA_REFRESH_DEFERRED, false},
	{NULL, 0, false}};

/*
 * Refuses a name that is no time zone. In a postmaster that has not yet read
 * its time zone files every name is looked up all the same.
 */
static bool
check_timezone(char **newval, void **extra, GucSource source)
{
	if (ma_zone(*newval) == NULL)
	{
		GUC_check_errdetail("There is no time zone \"%s\".", *newval);
		GUC_check_errhint("The view pg_timezone_names lists the zones.");
		return false;
	}
	return true;
}

/* Refuses what is no list of names. */
static bool
check_databases(char **newval, void **extra, GucSource source)
{
	char *names = pstrdup(*newval);
	List *list;
	bool  good = SplitIdentifierString(names, ',', &list);

	if (!good)
	{
		GUC_check_errdetail("It is no list of names, separated by commas.");
		GUC_check_errhint("Write unusual names in double quotes.");
	}
	list_free(list);
	pfree(names);
	return good;
}

/* Settings of what comes back: when is an address suppressed? */
static void
define_inbound(void)
{
	DefineCustomIntVariable("mautomate.hard_bounces",
							"Sets after how many messages that bounced for "
							"good an address is suppressed.",
							"0 means never.", &ma_guc_hard_bounces, 1, 0, 1000,
							PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("mautomate.soft_bounces",
							"Sets after how many other messages that bounced "
							"an address is suppressed.",
							"Counted over mautomate.soft_bounce_days; 0 "
							"means never.",
							&ma_guc_soft_bounces, 3, 0, 1000, PGC_SUSET, 0,
							NULL, NULL, NULL);
	DefineCustomIntVariable("mautomate.soft_bounce_days",
							"Sets over how many days soft bounces are "
							"counted.",
							NULL, &ma_guc_soft_bounce_days, 30, 1, 3650,
							PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("mautomate.complaints",
							"Sets after how many complaints an address is "
							"suppressed.",
							"0 means never.", &ma_guc_complaints, 1, 0, 1000,
							PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("mautomate.stop_words",
							   "Sets the words that, alone in the first line "
							   "of an answer, unsubscribe, separated by "
							   "commas.",
							   "In any case of letters.", &ma_guc_stop_words,
							   "STOP, STOPALL, UNSUBSCRIBE, CANCEL, END, "
							   "QUIT, ARRET, BAJA, ABMELDEN",
							   PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("mautomate.start_words",
							   "Sets the words that, alone in the first line "
							   "of an answer, take an unsubscription back, "
							   "separated by commas.",
							   "In any case of letters.", &ma_guc_start_words,
							   "START, UNSTOP", PGC_SUSET, 0, NULL, NULL,
							   NULL);
}

/* Defines the settings; called once, when the library is loaded. */
void
ma_guc_init(void)
{
	DefineCustomStringVariable("mautomate.databases",
							   "Sets the databases in which workers run, "
							   "separated by commas.",
							   "Needs mautomate in shared_preload_libraries.",
							   &ma_guc_databases, "", PGC_SIGHUP,
							   GUC_LIST_INPUT, check_databases, NULL, NULL);
	DefineCustomIntVariable(
		"mautomate.senders", "Sets the number of sender workers per database.",
		NULL, &ma_guc_senders, 1, 0, 64, PGC_SIGHUP, 0, NULL, NULL, NULL);
	DefineCustomStringVariable(
		"mautomate.timezone", "Sets the time zone of calendar arithmetic.",
		"Lists, scores and workflows mean the same in "
		"every session, whatever its TimeZone is.",
		&ma_guc_timezone, "UTC", PGC_SIGHUP, 0, check_timezone, NULL, NULL);
	DefineCustomEnumVariable("mautomate.identity",
							 "Sets what happens when two contacts would "
							 "share an e-mail address.",
							 NULL, &ma_guc_identity, MA_IDENTITY_MERGE,
							 identity_options, PGC_USERSET, 0, NULL, NULL,
							 NULL);
	DefineCustomEnumVariable("mautomate.refresh",
							 "Sets when events and changes of contacts reach "
							 "lists, scores and workflows.",
							 "immediate: in the same transaction; deferred: "
							 "soon after its commit, by the scheduler or "
							 "run().",
							 &ma_guc_refresh, MA_REFRESH_IMMEDIATE,
							 refresh_options, PGC_USERSET, 0, NULL, NULL,
							 NULL);
	DefineCustomStringVariable("mautomate.secrets_directory",
							   "Sets the directory of the files that hold "
							   "passwords and keys.",
							   "Channels name a bare file in it.",
							   &ma_guc_secrets_directory, "", PGC_SUSET,
							   GUC_SUPERUSER_ONLY, NULL, NULL, NULL);
	DefineCustomStringVariable("mautomate.token_key_file",
							   "Sets the file with the key that signs the "
							   "links of messages.",
							   "A bare name in mautomate.secrets_directory.",
							   &ma_guc_token_key_file, "token_key", PGC_SUSET,
							   GUC_SUPERUSER_ONLY, NULL, NULL, NULL);
	DefineCustomIntVariable("mautomate.data_timeout",
							"Sets how long a function may take that gives "
							"data to a template.",
							NULL, &ma_guc_data_timeout, 5000, 1, INT_MAX,
							PGC_SUSET, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("mautomate.window_entries",
							"Sets from how many events in a window on a "
							"state keeps sums instead of each event.",
							"For tests: a low value makes short histories "
							"behave like long ones.",
							&ma_guc_window_entries, 128, 2, 100000, PGC_SUSET,
							GUC_NO_SHOW_ALL | GUC_NOT_IN_SAMPLE, NULL, NULL,
							NULL);
	define_inbound();
	MarkGUCPrefixReserved("mautomate");
}
