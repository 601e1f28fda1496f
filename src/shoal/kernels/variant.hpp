// All that is compiled for one instruction set.
#include "exact_tile.hpp"
#include "nearest.hpp"
#include "tokens.hpp"

namespace shoal {
namespace SHOAL_VARIANT {

extern const Variant VARIANT;
const Variant VARIANT{SHOAL_STR(SHOAL_VARIANT), nearest<float>,          nearest<double>,
                      panel_distances<float>,   panel_distances<double>, tile_totals};

} // namespace SHOAL_VARIANT

const Variant *SHOAL_CAT(SHOAL_VARIANT, _variant)() { return &SHOAL_VARIANT::VARIANT; }

} // namespace shoal
