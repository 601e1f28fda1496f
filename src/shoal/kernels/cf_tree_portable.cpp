// 16-byte vectors: SSE2 on x86-64, NEON on arm64, plain code elsewhere.
#define SHOAL_VARIANT portable
#define SHOAL_VECTOR_BYTES 16
#define SHOAL_GROUPS 2
#include "cf_tree_sweep.hpp"
