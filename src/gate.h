/*
 * gate.h
 *	  May we contact this person now?
 */
#ifndef MA_GATE_H
#define MA_GATE_H

extern const char *ma_gate_reachable(int64 contact_id, int template_id);

#endif							/* MA_GATE_H */
