/* A fixture of the lint: an owner that has no value yet. */
void f(void);
void f(void)
{
    AUTO(free) char *p;

    return;
}
