"""How fast the bot is, measured from outside beside a stock aiogram bot and the bare floor: `python -m tests.bench`."""
