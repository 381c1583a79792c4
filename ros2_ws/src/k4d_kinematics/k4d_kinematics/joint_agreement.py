"""How near joint positions must be to count as the same, by where they come from; radians, or metres for sliding."""

# Copies of one number in messages, also where moments were rounded to whole nanoseconds and joints move at 10 rad/s.
SAME_NUMBER = 1e-6
# Where one plan ends and the next begins: planners reach their goals within a tolerance.
SAME_WAYPOINT = 1e-3
# A plan's start and what is measured of a robot that stands there; the default of start_tolerance.
SAME_STANCE = 0.02
# What a joint may overshoot in between two frames of which neither shows it: 15 rad/s^2 in frames 0.16 s apart.
SAME_COURSE = 0.05
