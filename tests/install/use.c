/* A program outside the tree: includes the installed header and calls the installed library. */
#include <mregion.h>
#include <stdio.h>

int main(void)
{
    printf("%s\n", mregion_version());
    return 0;
}
