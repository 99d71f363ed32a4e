/*
 * vocabulary.h
 *	  What attributes and event properties are declared as.
 */
#ifndef MA_VOCABULARY_H
#define MA_VOCABULARY_H

extern int	ma_vocabulary_column(const char *name);
extern bool ma_vocabulary_reserved(const char *kind);
extern bool ma_vocabulary_reserved_piece(const char *kind, int length);
extern _Noreturn void ma_vocabulary_refuse(const char *kind);
extern Oid			  ma_vocabulary_attribute(const char *name);
extern Oid ma_vocabulary_property(const char *kind, const char *property);

#endif /* MA_VOCABULARY_H */
