#include "cf_tree_lanes.hpp"
#if defined(__AVX2__)
#define SHOAL_VARIANT avx2
#define SHOAL_VECTOR_BYTES 32
#define SHOAL_GROUPS 2
#include "cf_tree_sweep.hpp"
#else
namespace shoal {
const Sweep *avx2_sweep() { return nullptr; }
} // namespace shoal
#endif
