-- Distinct values.
-- A value seen at s, and next at n, counts in the windows that end in [s, n); its newest sighting
-- in all later ones. `newest`: value -> its newest time. `superseded`: value .. s -> n, and under
-- FLOOR the time before which windows may have lost values.
local FLOOR = 'f'
local SMALL_SET = 8 -- values up to which letting go is not worth the look

local function supersede(key, value, since, untill)
  if untill > committed then redis.call('ZADD', key, untill, value .. struct.pack('>i8', since)) end
end

-- The windows, and how many values are held then.
local function values_in_order(rule, newest, superseded, batch, held)
  local coming, windows = #batch / 16, {}
  for place = 0, coming - 1 do
    local at, value = time_at(batch, 0, place), string.sub(batch, 16 * place + 9, 16 * place + 16)
    local before = redis.call('ZSCORE', newest, value)
    redis.call('ZADD', newest, at, value)
    if before then supersede(superseded, value, tonumber(before), at) else held = held + 1 end
    if held >= rule.floor and (place == coming - 1 or time_at(batch, 0, place + 1) ~= at) then
      local count = redis.call('ZCOUNT', newest, at - rule.span, at)
      if count >= rule.floor then
        windows[#windows + 1] = at
        windows[#windows + 1] = count
      end
    end
  end
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

local function note_floor(rule, superseded, until_then, before)
  redis.call('ZADD', superseded, math.max(before, until_then), FLOOR)
  redis.call('PEXPIRE', superseded, rule.ttl)
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
  note_floor(rule, superseded, last + rule.span + 1, floor_until)
  return held - drop
end

local function prune_superseded(rule, superseded, floor_until)
  redis.call('ZREMRANGEBYSCORE', superseded, '-inf', committed)
  redis.call('PEXPIRE', superseded, rule.ttl)
  local excess = redis.call('ZCARD', superseded) - SATURATED
  if rule.keep < 0 or excess <= 0 then return floor_until end
  local last = tonumber(redis.call('ZRANGE', superseded, excess - 1, excess - 1, 'WITHSCORES')[2])
  redis.call('ZREMRANGEBYRANK', superseded, 0, excess - 1)
  note_floor(rule, superseded, last, floor_until)
  return math.max(floor_until, last)
end

local function observe_values(number, rule)
  local newest, superseded, batch = next_key(), next_key(), next_arg()
  local last = redis.call('ZREVRANGE', newest, 0, 0, 'WITHSCORES')[2]
  local held = last and redis.call('ZCARD', newest) or 0
  local floor_until, windows = NEVER, nil
  if redis.call('EXISTS', superseded) == 1 then
    floor_until = tonumber(redis.call('ZSCORE', superseded, FLOOR) or NEVER)
  end
  if not last or time_at(batch, 0, 0) > tonumber(last) then
    windows, held = values_in_order(rule, newest, superseded, batch, held)
  else
    windows = values_late(rule, newest, superseded, batch)
    held = redis.call('ZCARD', newest)
  end
  local floor_then = floor_until
  if redis.call('EXISTS', superseded) == 1 then floor_then = prune_superseded(rule, superseded, floor_until) end
  if held >= SMALL_SET then held = prune_newest(rule, newest, superseded, held, floor_then) end
  redis.call('PEXPIRE', newest, rule.ttl)
  answer(number, held, windows, floor_until)
end
