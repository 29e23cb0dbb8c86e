/* One value of a setting: from the word in the file to the field it is kept in. */
#ifndef MREGION_CONF_SCALAR_H
#define MREGION_CONF_SCALAR_H

#include "conf/events.h"
#include "conf/settings.h"

/* Stores what the event says at the setting's field of base, the struct of its scope; not for
 * lists. A text that was there is freed. 0, or -EINVAL and -ENOMEM with the error filled and base
 * as it was. */
int scalar_store(struct events *events, const struct setting *setting, const struct event *event,
                 void *base);

#endif
