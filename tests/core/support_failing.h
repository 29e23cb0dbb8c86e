/* A region that fails while uploads of every kind are in progress: nothing may be left of them, and
 * of what was there before nothing may be lost. On the region of support_fixture.h. */
#ifndef MREGION_TESTS_SUPPORT_FAILING_H
#define MREGION_TESTS_SUPPORT_FAILING_H

/* A new region, with uploads and changes that are not committed. */
void failing_begin(void);
/* The disk fails: the region takes back what it has staged. */
void failing_act(void);
/* What it says then, and what it has once it is opened again. Frees everything. */
void failing_end(void);

#endif
