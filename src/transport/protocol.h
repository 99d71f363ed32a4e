/*
 * protocol.h
 *	  What the sender and the program mautomate-transport say to each other.
 *
 * A frame is: length of the rest (32 bits), type (one byte), payload. Numbers
 * are in network order; a string is its length (32 bits) and its bytes.
 *
 * The sender begins with one CONFIG: pairs of strings, name and value, up to
 * the end of the frame; what is about a relay is about the one that the last
 * "relay", whose value is its weight, has begun. Then it sends MAIL (or, if it
 * is of kind "http", REQUEST, and all that is said here of MAIL) and ACK. The
 * end of its input means: finish what has begun, within DRAIN_MS, and end.
 *
 * The program answers each MAIL with one RESULT. Before it writes the end of
 * the data (the final dot) to a relay it says ENDING: should it die, exactly
 * the messages with ENDING and without RESULT are in doubt. After a RESULT
 * the connection rests until the sender's ACK, so no more messages can ever
 * be in doubt than there are connections. MAIL may be sent ahead; it waits.
 */
#ifndef MA_PROTOCOL_H
#define MA_PROTOCOL_H

/* A longer frame is a broken one. A message may have 25 MB, base64 included. */
#define MA_FRAME_MAX (64 * 1024 * 1024)

/* The longest body; the rest of its frame is addresses. */
#define MA_BODY_MAX (MA_FRAME_MAX - 64 * 1024)

/* The text of a result is not longer. */
#define MA_TEXT_MAX 1000

/* From the end of the input to the end of the program, at most. */
#define MA_DRAIN_MS 1500

/* The id that a gateway gave a message is not longer. */
#define MA_PROVIDED_MAX 255

/* More relays than this are refused. */
#define MA_RELAYS_MAX 16

/* More connections than this are refused. */
#define MA_CONNECTIONS_MAX 512

/* The first byte of a frame. */
typedef enum MaFrameType
{
	MA_FRAME_CONFIG = 'C',	/* to it: (name, value)... */
	MA_FRAME_MAIL = 'M',	/* to it: id, sender, recipient, body */
	MA_FRAME_REQUEST = 'Q', /* to it: id, method, URL, headers, body */
	MA_FRAME_ACK = 'A',		/* to it: id; its result is committed */
	MA_FRAME_ENDING = 'E',	/* from it: id; may now be in doubt */
	MA_FRAME_RESULT = 'R',	/* from it: id, outcome byte, code, seconds to
							 * wait before another try (0: not said), id
							 * that the server gave it, rest: text */
	MA_FRAME_BROKEN = 'B'	/* from it: text; why it ends at once */
} MaFrameType;

/* How an attempt ended. */
typedef enum MaOutcome
{
	MA_OUTCOME_SENT = 1,	/* the server took it */
	MA_OUTCOME_TEMPORARY,	/* refused for now (4xx): try later */
	MA_OUTCOME_PERMANENT,	/* refused for good (5xx, bad address) */
	MA_OUTCOME_NOT_REACHED, /* surely not delivered: no connection, or
								 * lost before the end of the data */
	MA_OUTCOME_IN_DOUBT,	/* end of data written, no answer */
	MA_OUTCOME_UNTRIED		/* the program was told to end before it
								 * gave the message to a connection */
} MaOutcome;

#endif /* MA_PROTOCOL_H */
