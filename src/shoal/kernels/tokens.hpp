// Names made of the name of a variant.
#pragma once

#define SHOAL_CAT2(a, b) a##b
#define SHOAL_CAT(a, b) SHOAL_CAT2(a, b)
#define SHOAL_STR2(a) #a
#define SHOAL_STR(a) SHOAL_STR2(a)
