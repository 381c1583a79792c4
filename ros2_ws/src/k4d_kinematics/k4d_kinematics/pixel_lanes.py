"""The innermost step of the rasteriser: eight neighbouring pixels of one row at once, as vector instructions.

Numba's own loops over so few pixels stay scalar, hence LLVM code written by hand; LLVM maps the vectors of eight to
whatever width the processor has.
"""

from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic

LANES = 8

_VECTOR = ir.VectorType(ir.FloatType(), LANES)
_INT_VECTOR = ir.VectorType(ir.IntType(32), LANES)
_STEPS = ir.Constant(_VECTOR, [float(lane) for lane in range(LANES)])
_ZEROS = ir.Constant(_VECTOR, [0.0] * LANES)
# Fused multiply-add is welcome; NaN keeps its meaning, so that pixels without a ray fail every comparison.
_FLAGS = ("contract", "nsz", "arcp")


@intrinsic
def update_lanes(context: Any, depths: Any, labels: Any, rays: Any, offset: Any, label: Any, values: Any,
                 x_slopes: Any, y_slopes: Any, limits: Any, origin: Any, last_lane: Any) -> Any:  # fmt: skip
    """Keeps a triangle in LANES pixels from ``offset`` on wherever it covers a pixel and is nearer than what is there.

    depths, labels: flat float32 inverse-depth and int32 triangle-number buffers, labels may be None.
    rays: flat float32, two planes (x then y) of the size of ``depths`` with each pixel's ray; or None.
    values, x_slopes, y_slopes: three edge functions (inside where all are >= 0) and the inverse depth, each 4-tuples of
        float32: the value at ``origin`` and the slopes. Without rays the value is that of the first lane, x counts
        pixels and y slopes are unused.
    limits: the smallest and largest inverse depth of the triangle.
    last_lane: float32, lanes after it are left alone; it may exceed LANES.
    """
    signature = types.void(depths, labels, rays, offset, label, values, x_slopes, y_slopes, limits, origin, last_lane)
    return signature, _emit


def _emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    kinds = dict(zip(("depths", "labels", "rays"), signature.args, strict=False))
    depths, labels, rays, offset, label, values, x_slopes, y_slopes, limits, origin, last_lane = arguments
    value, x_slope, y_slope = (_unpack(builder, tuple_, 4) for tuple_ in (values, x_slopes, y_slopes))
    low, high = (_splat(builder, limit) for limit in _unpack(builder, limits, 2))
    depth_pointer = _pointer(context, builder, kinds["depths"], depths, offset, _VECTOR)
    if isinstance(kinds["rays"], types.NoneType):
        planes = [_along(builder, _splat(builder, v), x, _STEPS) for v, x in zip(value, x_slope, strict=True)]
    else:
        size = builder.extract_value(depths, _field(context, builder, kinds["depths"], "nitems"))
        dx, dy = _ray_offsets(context, builder, kinds["rays"], rays, offset, size, _unpack(builder, origin, 2))
        planes = [
            _along(builder, _along(builder, _splat(builder, v), x, dx), y, dy)
            for v, x, y in zip(value, x_slope, y_slope, strict=True)
        ]
    inverse_depth = _clamp(builder, planes[3], low, high)
    old_depth = builder.load(depth_pointer, align=4)
    visible = builder.fcmp_ordered("<=", _STEPS, _splat(builder, last_lane))
    visible = builder.and_(visible, builder.fcmp_ordered(">", inverse_depth, old_depth))
    for edge in planes[:3]:
        visible = builder.and_(visible, builder.fcmp_ordered(">=", edge, _ZEROS))
    builder.store(builder.select(visible, inverse_depth, old_depth), depth_pointer, align=4)
    if not isinstance(kinds["labels"], types.NoneType):
        label_pointer = _pointer(context, builder, kinds["labels"], labels, offset, _INT_VECTOR)
        old_label = builder.load(label_pointer, align=4)
        builder.store(builder.select(visible, _splat(builder, label), old_label), label_pointer, align=4)
    return context.get_dummy_value()


def _ray_offsets(
    context: Any, builder: Any, kind: Any, rays: Any, offset: Any, size: Any, origin: Any
) -> tuple[Any, Any]:
    x = builder.load(_pointer(context, builder, kind, rays, offset, _VECTOR), align=4)
    y = builder.load(_pointer(context, builder, kind, rays, builder.add(offset, size), _VECTOR), align=4)
    dx, dy = (
        builder.fsub(ray, _splat(builder, start), flags=_FLAGS) for ray, start in zip((x, y), origin, strict=True)
    )
    return dx, dy


def _along(builder: Any, value: Any, slope: Any, distance: Any) -> Any:
    return builder.fadd(builder.fmul(_splat(builder, slope), distance, flags=_FLAGS), value, flags=_FLAGS)


def _clamp(builder: Any, value: Any, low: Any, high: Any) -> Any:
    value = builder.select(builder.fcmp_ordered("<", value, low), low, value)
    return builder.select(builder.fcmp_ordered(">", value, high), high, value)


def _splat(builder: Any, scalar: Any) -> Any:
    vector = ir.VectorType(scalar.type, LANES)
    undefined = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(undefined, scalar, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(first, undefined, ir.Constant(_INT_VECTOR, [0] * LANES))


def _unpack(builder: Any, aggregate: Any, count: int) -> list[Any]:
    return [builder.extract_value(aggregate, k) for k in range(count)]


def _field(context: Any, builder: Any, kind: Any, name: str) -> int:
    return int(context.data_model_manager[kind].get_field_position(name))


def _pointer(context: Any, builder: Any, kind: Any, array: Any, offset: Any, vector: Any) -> Any:
    data = builder.extract_value(array, _field(context, builder, kind, "data"))
    return builder.bitcast(builder.gep(data, [offset]), vector.as_pointer())
