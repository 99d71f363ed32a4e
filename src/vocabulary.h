/*
 * vocabulary.h
 *	  What attributes and event properties are declared as.
 */
#ifndef MA_VOCABULARY_H
#define MA_VOCABULARY_H

/* Bytes that the kind of an event has at most: it goes into a key. */
#define MA_KIND_MAX 400

extern int	ma_vocabulary_column(const char *name);
extern bool ma_vocabulary_reserved(const char *kind);
extern bool ma_vocabulary_reserved_piece(const char *kind, int length);
extern _Noreturn void ma_vocabulary_refuse(const char *kind);
extern _Noreturn void ma_vocabulary_refuse_long(void);
extern Oid			  ma_vocabulary_attribute(const char *name);
extern Oid ma_vocabulary_property(const char *kind, const char *property);

#endif /* MA_VOCABULARY_H */
