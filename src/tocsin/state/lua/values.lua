-- Distinct values of a group that has few: its records, looked through each time.
local THIN_FROM = 8 -- records up to which letting go is not worth the look

-- The windows that end at a record's time within the span after one of `batch`.
local function distinct_windows(rule, times, values, batch)
  local windows, size, coming = {}, #times, #batch / 16
  if size < rule.floor then return windows end
  local within, count = {}, 0
  local here, left, seen, reach = 1, 1, 0, NEVER
  while here <= size do
    local at = times[here]
    repeat
      local value = values[here]
      if not within[value] then count = count + 1 end
      within[value] = (within[value] or 0) + 1
      here = here + 1
    until times[here] ~= at
    while times[left] < at - rule.span do
      local value = values[left]
      within[value] = within[value] > 1 and within[value] - 1 or nil
      if not within[value] then count = count - 1 end
      left = left + 1
    end
    while seen < coming and time_at(batch, 0, seen) <= at do
      reach = time_at(batch, 0, seen) + rule.span
      seen = seen + 1
    end
    if at <= reach and count >= rule.floor then
      windows[#windows + 1], windows[#windows + 2] = at, count
    end
  end
  return windows
end

local function how_many(values)
  local known, count = {}, 0
  for place = 1, #values do
    if not known[values[place]] then
      known[values[place]] = true
      count = count + 1
    end
  end
  return count
end

-- How many of the values seen last inside [committed - span, committed) are more than `keep`.
local function beyond_keep(rule, times, values)
  if rule.keep < 0 then return 0 end
  local known, reserve = {}, 0
  for place = #times, 1, -1 do
    if times[place] < committed - rule.span then break end
    if not known[values[place]] then
      known[values[place]] = true
      if times[place] < committed then reserve = reserve + 1 end
    end
  end
  return math.max(0, reserve - rule.keep)
end

-- Mark what to let go: sightings superseded by `committed`, values that no window that ends from then
-- on needs, and those that `keep` spares. Which places stay, and until when windows lost values.
local function thinned(rule, times, values, floor_until)
  local following, stays, newest, excess = {}, {}, {}, beyond_keep(rule, times, values)
  for place = #times, 1, -1 do
    local value = values[place]
    if following[value] then
      stays[place] = following[value] > committed
    else
      newest[#newest + 1] = place
    end
    following[value] = times[place]
  end
  for index = #newest, 1, -1 do
    local place = newest[index]
    local at = times[place]
    if at < committed - rule.span then
      stays[place] = false
    elseif excess > 0 then
      excess = excess - 1
      stays[place] = false
      floor_until = math.max(floor_until, at + rule.span + 1)
    else
      stays[place] = true
    end
  end
  return stays, floor_until
end

local function let_go(rule, raw, times, values, floor_until)
  local stays, floor_then = thinned(rule, times, values, floor_until)
  local head, parts, times_left, values_left = #raw % 16, { floor_header(floor_then) }, {}, {}
  for place = 1, #times do
    if stays[place] then
      parts[#parts + 1] = record(raw, head, place - 1)
      times_left[#times_left + 1], values_left[#values_left + 1] = times[place], values[place]
    end
  end
  return table.concat(parts), times_left, values_left, floor_then
end

-- What becomes of the group's field, as for events.
local function observe_values(number, rule, field, held, batch)
  if held == '' then return observe_many(number, rule, field, batch) end
  local before = held or ''
  local floor_until = floor_of(before)
  local raw, added = merged(before, #before % 16, batch)
  local times, values = listed(raw, #raw % 16)
  local windows, floor_then = distinct_windows(rule, times, values, batch), floor_until
  if added > 0 and #times >= THIN_FROM and times[math.floor((#times + 1) / 2)] < committed then
    raw, times, values, floor_then = let_go(rule, raw, times, values, floor_until)
  end
  if #raw > SMALL then
    answer(number, move_out(rule, field, times, values, floor_then), windows, floor_until)
    return ''
  end
  answer(number, how_many(values), windows, floor_until)
  if added == 0 then return nil end
  return #times > 0 and raw
end
