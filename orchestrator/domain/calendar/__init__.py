"""When a schedule is due.

reading.py    read_rhythm: what people write -> a Rhythm, or why it cannot be a schedule
rhythms.py    Rhythm, next_tick, ticks_between, and what holds when the clock is changed
preview.py    preview, in_words: what people are shown
patterns.py   cron expressions: their days and their times       zones.py   zone names and clock changes
"""
