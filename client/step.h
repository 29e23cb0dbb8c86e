/* What a step says that could not be ended now: nothing has failed, and it is to be taken again
 * when the socket or the clock is ready. Beside enum mregion_code. Private to libmregion. */
#ifndef MREGION_CLIENT_STEP_H
#define MREGION_CLIENT_STEP_H

#define STEP_WAIT (-1)

#endif
