#include "cf_tree_lanes.hpp"
#if defined(__AVX512F__)
#define SHOAL_VARIANT avx512
#define SHOAL_VECTOR_BYTES 64
#define SHOAL_GROUPS 8
#include "cf_tree_sweep.hpp"
#else
namespace shoal {
const Sweep *avx512_sweep() { return nullptr; }
} // namespace shoal
#endif
