-- Event counts: every member counts.
-- The windows of at least `floor` that end at a member's time within the span after one of `batch`.
local function changed(raw, head, batch, span, floor)
  local size, coming = (#raw - head) / 16, #batch / 16
  local windows = {}
  if size < floor then return windows end
  local first = time_at(batch, 0, 0)
  local left = first_at(raw, head, size, first - span)
  local here = first_at(raw, head, size, first, left)
  local seen, reach = 0, first + span
  while here < size do
    local at = time_at(raw, head, here)
    local after = here + 1
    while after < size and time_at(raw, head, after) == at do after = after + 1 end
    while seen < coming and time_at(batch, 0, seen) <= at do
      reach = time_at(batch, 0, seen) + span
      seen = seen + 1
    end
    if at <= reach then
      while time_at(raw, head, left) < at - span do left = left + 1 end
      if after - left >= floor then
        windows[#windows + 1] = at
        windows[#windows + 1] = after - left
      end
      here = after
    elseif seen == coming then
      break
    else
      here = first_at(raw, head, size, time_at(batch, 0, seen), after)
    end
  end
  return windows
end

-- How many of the oldest to let go: none until it is half of them.
local function droppable(raw, head, span, keep)
  local size = (#raw - head) / 16
  if keep >= 0 and size > SATURATED then return size - keep end
  local half = math.floor((size + 1) / 2)
  local expired = time_at(raw, head, half - 1) < committed - span
  local beyond = keep >= 0 and half + keep <= size and time_at(raw, head, half + keep - 1) < committed
  if not expired and not beyond then return 0 end
  local drop = first_at(raw, head, size, committed - span)
  if keep >= 0 then drop = math.max(drop, first_at(raw, head, size, committed) - keep) end
  return drop
end

-- What becomes of the group's field: its new content, nil (as it is) or false (it goes).
local function observe_events(number, rule, field, held, batch)
  local own_key = held == '' and rule.stem .. field
  local before = own_key and redis.call('GET', own_key) or held or ''
  local floor_until, head = floor_of(before), #before % 16
  local raw, added, in_order = merged(before, head, batch)
  local windows = changed(raw, head, batch, rule.span, rule.floor)
  local size = (#raw - head) / 16
  local drop = added > 0 and droppable(raw, head, rule.span, rule.keep) or 0
  answer(number, size - drop, windows, floor_until)
  if added == 0 then return nil end
  if drop > 0 then
    local last = time_at(raw, head, drop - 1)
    if last >= committed - rule.span then floor_until = math.max(floor_until, last + rule.span + 1) end
    raw = floor_header(floor_until) .. string.sub(raw, head + 16 * drop + 1)
  end
  if drop == size or #raw <= SMALL then
    if own_key then redis.call('DEL', own_key) end
    return drop < size and raw
  end
  if own_key and drop == 0 and in_order then
    redis.call('APPEND', own_key, batch)
    redis.call('PEXPIRE', own_key, rule.ttl)
    return nil
  end
  redis.call('SET', rule.stem .. field, raw, 'PX', rule.ttl)
  return ''
end
