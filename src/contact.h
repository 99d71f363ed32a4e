/*
 * contact.h
 *	  Persons: who is meant, who is new, what is known of them.
 */
#ifndef MA_CONTACT_H
#define MA_CONTACT_H

#include "utils/elog.h"
#include "utils/jsonb.h"

/* The columns of a contact that identify() and captures set. */
typedef enum MaContactColumn
{
	MA_CONTACT_EMAIL,
	MA_CONTACT_PHONE,
	MA_CONTACT_FIRST_NAME,
	MA_CONTACT_LAST_NAME,
	MA_CONTACT_TIMEZONE,
	MA_CONTACT_LOCALE,
	MA_CONTACT_REGION,
	MA_CONTACT_STAGE,
	MA_CONTACT_OWNER
} MaContactColumn;

#define MA_CONTACT_COLUMNS (MA_CONTACT_OWNER + 1)

/* Sets in C go to SQL in chunks of this many rows. */
#define MA_CHUNK 1000

/*
 * A person as somebody names and describes them. One without an external id
 * is meant by e-mail, else by phone.
 */
typedef struct MaProfile
{
	const char *external_id; /* NULL: known by an address only */
	const char *columns[MA_CONTACT_COLUMNS]; /* new values, NULL removes */
	uint32		given;		 /* bit 1 << column: is it given? */
	bool		is_id;		 /* external_id is one, and never an address */
	Jsonb	   *attributes;	 /* to merge in, a null removes; NULL: none */
	int64		contact_id;	 /* out: who it is; 0: unknown or a problem */
	bool		is_found;	 /* contact_id is known, whoever has the name */
	bool		created;	 /* out: nobody knew the person before */
	const char *shared_with; /* out: another contact with the address */
	ErrorData  *problem;	 /* out: why the person cannot be told */
} MaProfile;

extern const char *ma_contact_column_name(MaContactColumn column);
extern void		   ma_profile_set(MaProfile *person, MaContactColumn column,
								  const char *value);
extern bool		   ma_profile_set_email(MaProfile *person, const char *email,
										const char **reason);
extern bool		   ma_profile_set_phone(MaProfile *person, const char *phone,
										const char **reason);

extern const char *ma_profile_address(const MaProfile *person);
extern bool		   ma_profile_is_named(const MaProfile *person);

extern void	 ma_contact_lookup(MaProfile *persons, int n);
extern void	 ma_contact_lookup_chunk(MaProfile **persons, int n,
									 MemoryContext cxt);
extern void	 ma_contact_store_missing(MaProfile *persons, int n);
extern void	 ma_contact_store(MaProfile *persons, int n);
extern void	 ma_contact_reserve(MaProfile *persons, int n);
extern int	 ma_contact_absorbed(MaProfile *persons, int n, int64 **losers,
								 int64 **survivors);
extern bool	 ma_contact_alias(const char *anonymous_id, MaProfile *person);
extern int64 ma_contact_resolve(const char *who, bool missing_ok);
extern void	 ma_contact_resolve_all(MaProfile *persons, int n, bool create);
extern void	 ma_contact_hold(const int64 *ids, const bool *change, int n);
extern void	 ma_contact_obtain_held(MaProfile *persons, int n);
extern void	 ma_contact_resolve_held(MaProfile *persons, int n);
extern bool	 ma_contact_hold_named(MaProfile *person);
extern ErrorData *ma_contact_bad_phone(const char *phone, const char *reason);
extern bool		  ma_profile_same_name(const MaProfile *a, const MaProfile *b);
extern void		  ma_profile_keep_changes(MaProfile		  *profile,
										  const MaProfile *before);
extern ErrorData *ma_contact_long_id(void);
extern ErrorData *ma_contact_bad_email(const char *email, const char *reason);

/* Bytes of an external id. */
#define MA_ID_MAX 1000

extern ErrorData *ma_problem(int code, const char *message, const char *detail,
							 const char *hint);

#endif /* MA_CONTACT_H */
