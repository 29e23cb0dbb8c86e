/* Calls whose answer may take hours. Private to libmregion. */
#ifndef MREGION_CLIENT_PATIENT_H
#define MREGION_CLIENT_PATIENT_H

#include "client/call.h"

/* Whether the server still answers another request on the same connection: MREGION_OK, or why the
 * answer is not waited for any longer. */
typedef int patient_look(struct mregion *connection, const char *region,
                         struct mregion_error *error);

/* Calls, and waits for the answer as long as look, which is asked every second or as often as the
 * connection's timeout says, answers MREGION_OK. what stands for the thing in errors. */
int patient_call(struct mregion *connection, const struct request *request, patient_look *look,
                 const char *what, struct reply *ret_reply, struct mregion_error *error);

#endif
