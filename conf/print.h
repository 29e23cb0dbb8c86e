/* Values as they stand in the file. Internal to this folder. */
#ifndef MREGION_CONF_PRINT_H
#define MREGION_CONF_PRINT_H

#include <stdio.h>

#include "conf/settings.h"

/* The value of a setting that is no list, in one line and without its end; base is the struct of
 * the setting's scope. It may also stand within brackets and braces. */
void print_value(FILE *to, const struct setting *setting, const void *base);

#endif
