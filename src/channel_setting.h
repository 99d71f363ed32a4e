/*
 * channel_setting.h
 *	  The settings of channels, read and checked.
 */
#ifndef MA_CHANNEL_SETTING_H
#define MA_CHANNEL_SETTING_H

#include "channel.h"

/* Name and transport are given; everything lives in the current context. */
extern void ma_channel_read(MaChannel *channel, Jsonb *settings);
extern void ma_channel_check(const MaChannel *channel);

#endif /* MA_CHANNEL_SETTING_H */
