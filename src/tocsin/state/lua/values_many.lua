-- Distinct values of a group that has many: two sorted sets.
-- A value seen at s, and next at n, counts in the windows that end in [s, n); its newest sighting
-- in all later ones. `newest`: value -> its newest time. `superseded`: value .. s -> n, and under
-- FLOOR the time before which windows may have lost values.
local FLOOR = 'f'
local SMALL_SET = 8 -- values up to which letting go is not worth the look

local function supersede(key, value, since, untill)
  if untill > committed then redis.call('ZADD', key, untill, value .. struct.pack('>i8', since)) end
end

-- The newest time of each of `values`, as text, where it has one.
local function newest_times(newest, values)
  local times = {}
  for from = 1, #values, CHUNK do
    local some = redis.call('ZMSCORE', newest, unpack(values, from, math.min(from + CHUNK - 1, #values)))
    for place = 1, #some do times[from + place - 1] = some[place] end
  end
  return times
end

local function write_newest(newest, latest)
  local pairs_of, at = {}, 0
  for value, time in pairs(latest) do
    pairs_of[at + 1], pairs_of[at + 2] = time, value
    at = at + 2
  end
  call_with('ZADD', newest, pairs_of, 2)
end

-- The windows, and how many values are held then. One look at what is held, not one a record: which
-- values leave the window as it moves on is read once, and the count is kept along.
local function values_in_order(rule, newest, superseded, batch, held)
  local times, values = listed(batch, 0)
  local known, coming, span = newest_times(newest, values), #times, rule.span
  local count = redis.call('ZCOUNT', newest, times[1] - span, '+inf')
  local leaving = redis.call('ZRANGEBYSCORE', newest, times[1] - span, times[coming] - span - 1, 'WITHSCORES')
  local latest, entries, windows, out, left = {}, {}, {}, 1, 1
  for place = 1, coming do
    local at, value = times[place], values[place]
    while leaving[out] and tonumber(leaving[out + 1]) < at - span do
      if not latest[leaving[out]] then count = count - 1 end
      out = out + 2
    end
    while times[left] < at - span do
      if latest[values[left]] == times[left] then count = count - 1 end
      left = left + 1
    end
    local before = latest[value] or known[place] and tonumber(known[place])
    if not before then held = held + 1 end
    if not before or before < at - span then count = count + 1 end
    if before and at > committed then
      entries[#entries + 1], entries[#entries + 2] = at, value .. struct.pack('>i8', before)
    end
    latest[value] = at
    if count >= rule.floor and times[place + 1] ~= at then
      windows[#windows + 1], windows[#windows + 2] = at, count
    end
  end
  write_newest(newest, latest)
  call_with('ZADD', superseded, entries, 2)
  return windows, held
end

-- What was superseded after `time`, as {value, s, n}.
local function superseded_after(key, time)
  local entries = {}
  local flat = redis.call('ZRANGEBYSCORE', key, time + 1, '+inf', 'WITHSCORES')
  for place = 1, #flat, 2 do
    if flat[place] ~= FLOOR then
      local value = string.sub(flat[place], 1, 8)
      entries[#entries + 1] = { value, number_at(flat[place], 8), tonumber(flat[place + 1]) }
    end
  end
  return entries
end

local function insert_late(newest, superseded, entries, value, at)
  local newest_time = tonumber(redis.call('ZSCORE', newest, value) or nil)
  if not newest_time then
    -- Its newest time may have been let go (a saturated group): what superseded it then stands.
    for _, entry in ipairs(entries) do
      if entry[1] == value then newest_time = math.max(newest_time or NEVER, entry[3]) end
    end
    if not newest_time or at >= newest_time then
      redis.call('ZADD', newest, at, value)
      return
    end
  end
  if at == newest_time then return end
  if at > newest_time then
    redis.call('ZADD', newest, at, value)
    entries[#entries + 1] = { value, newest_time, at }
    supersede(superseded, value, newest_time, at)
    return
  end
  local following = newest_time
  for _, entry in ipairs(entries) do
    if entry[1] == value and entry[3] > at then
      if entry[2] == at then return end
      if entry[2] < at then
        following = entry[3]
        entry[3] = at
        redis.call('ZREM', superseded, value .. struct.pack('>i8', entry[2]))
        supersede(superseded, value, entry[2], at)
        break
      end
      following = math.min(following, entry[2])
    end
  end
  entries[#entries + 1] = { value, at, following }
  supersede(superseded, value, at, following)
end

-- The first place (from 1) of the sorted `times` that is not before `time`.
local function place_of(times, time)
  local low, high = 1, #times + 1
  while low < high do
    local middle = math.floor((low + high) / 2)
    if times[middle] < time then low = middle + 1 else high = middle end
  end
  return low
end

-- The times of sightings from the batch's first on, each once, that are within its reach.
local function reached(rule, newest, entries, batch)
  local first, known, ends = time_at(batch, 0, 0), {}, {}
  local function add(time)
    if time >= first and not known[time] then
      known[time] = true
      ends[#ends + 1] = time
    end
  end
  local flat = redis.call('ZRANGEBYSCORE', newest, first, '+inf', 'WITHSCORES')
  for place = 2, #flat, 2 do add(tonumber(flat[place])) end
  for _, entry in ipairs(entries) do add(entry[2]) end
  for place = 0, #batch / 16 - 1 do add(time_at(batch, 0, place)) end
  table.sort(ends)
  local within, seen, reach = {}, 0, first - 1
  for _, at in ipairs(ends) do
    while seen < #batch / 16 and time_at(batch, 0, seen) <= at do
      reach = time_at(batch, 0, seen) + rule.span
      seen = seen + 1
    end
    if at <= reach then within[#within + 1] = at end
  end
  return within
end

local function values_late(rule, newest, superseded, batch)
  local first = time_at(batch, 0, 0)
  local entries = superseded_after(superseded, first)
  for place = 0, #batch / 16 - 1 do
    insert_late(newest, superseded, entries, record(batch, 0, place):sub(9), time_at(batch, 0, place))
  end
  local ends, more, windows, extra = reached(rule, newest, entries, batch), {}, {}, 0
  for _, entry in ipairs(entries) do
    local from, to = place_of(ends, entry[2]), place_of(ends, math.min(entry[3], entry[2] + rule.span + 1))
    more[from] = (more[from] or 0) + 1
    more[to] = (more[to] or 0) - 1
  end
  for place, at in ipairs(ends) do
    extra = extra + (more[place] or 0)
    local count = extra + redis.call('ZCOUNT', newest, at - rule.span, at)
    if count >= rule.floor then
      windows[#windows + 1] = at
      windows[#windows + 1] = count
    end
  end
  return windows
end

local function note_floor(superseded, until_then, before)
  redis.call('ZADD', superseded, math.max(before, until_then), FLOOR)
end

-- Let go of what no window that ends from `committed` on needs, and of what `keep` spares.
local function prune_newest(rule, newest, superseded, held, floor_until)
  held = held - redis.call('ZREMRANGEBYSCORE', newest, '-inf', committed - rule.span - 1)
  if rule.keep < 0 then return held end
  local reserve = held
  if held <= SATURATED then reserve = redis.call('ZCOUNT', newest, '-inf', committed - 1) end
  local drop = reserve - rule.keep
  if drop <= 0 then return held end
  local last = tonumber(redis.call('ZRANGE', newest, drop - 1, drop - 1, 'WITHSCORES')[2])
  redis.call('ZREMRANGEBYRANK', newest, 0, drop - 1)
  note_floor(superseded, last + rule.span + 1, floor_until)
  return held - drop
end

local function prune_superseded(rule, superseded, floor_until)
  redis.call('ZREMRANGEBYSCORE', superseded, '-inf', committed)
  local excess = redis.call('ZCARD', superseded) - SATURATED
  if rule.keep < 0 or excess <= 0 then return floor_until end
  local last = tonumber(redis.call('ZRANGE', superseded, excess - 1, excess - 1, 'WITHSCORES')[2])
  redis.call('ZREMRANGEBYRANK', superseded, 0, excess - 1)
  note_floor(superseded, last, floor_until)
  return math.max(floor_until, last)
end

local function prune_many(rule, newest, superseded, held, floor_until)
  floor_until = prune_superseded(rule, superseded, floor_until)
  if held >= SMALL_SET then held = prune_newest(rule, newest, superseded, held, floor_until) end
  redis.call('PEXPIRE', newest, rule.ttl)
  redis.call('PEXPIRE', superseded, rule.ttl)
  return held
end

local function observe_many(number, rule, field, batch)
  local newest, superseded = rule.stem .. field, rule.superseded .. field
  local last = redis.call('ZREVRANGE', newest, 0, 0, 'WITHSCORES')[2]
  local held = last and redis.call('ZCARD', newest) or 0
  local floor_until, windows = tonumber(redis.call('ZSCORE', superseded, FLOOR) or NEVER), nil
  if not last or time_at(batch, 0, 0) > tonumber(last) then
    windows, held = values_in_order(rule, newest, superseded, batch, held)
  else
    windows = values_late(rule, newest, superseded, batch)
    held = redis.call('ZCARD', newest)
  end
  held = prune_many(rule, newest, superseded, held, floor_until)
  answer(number, held, windows, floor_until)
end

-- Turn the records of a group that was small into its two sets; how many values it holds then.
local function move_out(rule, field, times, values, floor_until)
  local newest, superseded = rule.stem .. field, rule.superseded .. field
  local latest, entries, held = {}, {}, 0
  for place = 1, #times do
    local value, at = values[place], times[place]
    local before = latest[value]
    if not before then
      held = held + 1
    elseif at > committed then
      entries[#entries + 1], entries[#entries + 2] = at, value .. struct.pack('>i8', before)
    end
    latest[value] = at
  end
  redis.call('DEL', newest, superseded)
  write_newest(newest, latest)
  call_with('ZADD', superseded, entries, 2)
  if floor_until > NEVER then redis.call('ZADD', superseded, floor_until, FLOOR) end
  return prune_many(rule, newest, superseded, held, floor_until)
end
